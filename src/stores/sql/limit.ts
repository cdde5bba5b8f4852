const limitDefault = 100
const limitMax = 1_000

/** How many to list where nothing, or too much, is asked for. */
export function limitOf(filter: { readonly limit?: number | undefined }): number {
  return Math.min(filter.limit ?? limitDefault, limitMax)
}

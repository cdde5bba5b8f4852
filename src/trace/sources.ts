import { reasonOf } from '../core/errors.ts'

/** Things by the names of their databases: a record, or a list where the order matters. */
export type Named<T> = Readonly<Record<string, T>> | readonly (readonly [name: string, source: T])[]

export function entriesOf<T>(named: Named<T>): readonly (readonly [string, T])[] {
  return Array.isArray(named) ? named : Object.entries(named as Readonly<Record<string, T>>)
}

/** What a database answered, or why it did not: then nothing can be concluded from its silence. */
export type Answer<T> =
  | { readonly database: string; readonly value: T }
  | { readonly database: string; readonly value: null; readonly because: string }

export async function ask<S, T>(
  named: Named<S>,
  work: (source: S) => Promise<T>,
): Promise<readonly Answer<T>[]> {
  return Promise.all(
    entriesOf(named).map(async ([database, source]): Promise<Answer<T>> => {
      try {
        return { database, value: await work(source) }
      } catch (error) {
        return { database, value: null, because: reasonOf(error) }
      }
    }),
  )
}

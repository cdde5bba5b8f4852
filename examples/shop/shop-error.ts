/** What the user of the demonstration did wrong. The code is stable; the message says what to change. */
export class ShopError extends Error {
  override readonly name = 'ShopError'
  readonly code: string

  constructor(code: string, message: string, options?: ErrorOptions) {
    super(message, options)
    this.code = code
  }
}

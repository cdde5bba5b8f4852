/** Tells readers of this process that the log has grown. Those of other processes poll: the server has nothing to tell them with. */
export class Notices {
  readonly #watching = new Set<() => void>()

  watch(changed: () => void): () => void {
    this.#watching.add(changed)
    return () => void this.#watching.delete(changed)
  }

  tell(): void {
    for (const changed of this.#watching) changed()
  }
}

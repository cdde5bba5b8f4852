import type { StoredMessage } from './protocol.ts'

/** All messages that are on disk, and who waits for more: a message is delivered no earlier than its publisher may be told. */
export class MessageLog {
  readonly #all: StoredMessage[] = []
  readonly #byTopic = new Map<string, StoredMessage[]>()
  #changed = Promise.withResolvers<void>()

  constructor(messages: readonly StoredMessage[]) {
    this.add(messages)
  }

  get all(): readonly StoredMessage[] {
    return this.#all
  }

  /** A topic's messages. The first has position 1, and each keeps its position for ever. */
  of(topic: string): readonly StoredMessage[] {
    return this.#byTopic.get(topic) ?? []
  }

  add(messages: readonly StoredMessage[]): void {
    for (const message of messages) {
      this.#all.push(message)
      const ofTopic = this.#byTopic.get(message.topic)
      if (ofTopic === undefined) this.#byTopic.set(message.topic, [message])
      else ofTopic.push(message)
    }
    this.wake()
  }

  /** Whoever waits looks again. */
  wake(): void {
    this.#changed.resolve()
    this.#changed = Promise.withResolvers<void>()
  }

  /** Until something has changed, the time is over, or the one who waits has hung up. */
  async changeWithin(waitMs: number, gone: AbortSignal): Promise<void> {
    const { promise, resolve } = Promise.withResolvers<void>()
    const timer = setTimeout(resolve, Math.max(1, waitMs))
    const stop = (): void => resolve()
    gone.addEventListener('abort', stop, { once: true })
    await Promise.race([this.#changed.promise, promise])
    clearTimeout(timer)
    gone.removeEventListener('abort', stop)
  }
}

import type { LoggedMessage, Message } from '../core/message.ts'
import { parseJson } from '../core/topic.ts'

const inspect = Symbol.for('nodejs.util.inspect.custom')
const unread = Symbol('unread')

export function toMessage<Body>(logged: LoggedMessage, body: Body): Message<Body> {
  return new Delivered(logged, body)
}

/** Parses the body once somebody reads it: whoever goes by the key, or only passes a message on, does not pay for it. */
export function toUnreadMessage(logged: LoggedMessage): Message<unknown> {
  return new Delivered<unknown>(logged, unread)
}

/**
 * To whoever looks at it, spreads it, clones it or writes it out, an object with a body like any other. A class, though it has a type of
 * its own for strict comparisons: an accessor costs a plain object four times as much (the engine keeps it as a dictionary).
 */
class Delivered<Body> implements Message<Body> {
  static readonly #bodyProperty: PropertyDescriptor & ThisType<Delivered<unknown>> = {
    enumerable: true,
    configurable: true,
    get() {
      if (this.#body === unread) {
        this.#body = parseJson(this.topic, this.#text!)
        this.#text = undefined
      }
      return this.#body
    },
  }

  readonly id: Message<Body>['id']
  readonly service: string
  readonly topic: string
  readonly tag: string | undefined
  readonly key: string | undefined
  readonly shardingKey: string | undefined
  readonly headers: Readonly<Record<string, string>>
  declare readonly body: Body
  readonly publishedAt: Date
  #text: string | undefined
  #body: unknown

  constructor(logged: LoggedMessage, body: Body | typeof unread) {
    this.id = logged.id
    this.service = logged.service
    this.topic = logged.topic
    this.tag = logged.tag ?? undefined
    this.key = logged.key ?? undefined
    this.shardingKey = logged.shardingKey ?? undefined
    this.headers = logged.headers
    this.publishedAt = new Date(logged.publishedAt)
    this.#text = body === unread ? (logged.body as string) : undefined
    this.#body = body
    Object.defineProperty(this, 'body', Delivered.#bodyProperty)
  }

  [inspect](): object {
    return { ...this }
  }
}

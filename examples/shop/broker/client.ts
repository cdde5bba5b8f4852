import { callJson } from '../shared/http.ts'
import type {
  AcknowledgeAnswer,
  Delivery,
  Health,
  NewMessage,
  PendingAnswer,
  PublishAnswer,
  ReceiveAnswer,
  ReceiveRequest,
} from './protocol.ts'

const timeoutMs = 5000

/** Every method throws HttpError; status 0 means that nobody answered and the outcome is unknown. */
export class BrokerClient {
  readonly #url: string

  constructor(url: string) {
    this.#url = url
  }

  async publish(messages: readonly NewMessage[]): Promise<readonly string[]> {
    const answer = await this.#call('POST', '/publish', { messages }, timeoutMs)
    return (answer as PublishAnswer).ids
  }

  async receive(request: ReceiveRequest): Promise<readonly Delivery[]> {
    const answer = await this.#call('POST', '/receive', request, request.waitMs + timeoutMs)
    return (answer as ReceiveAnswer).deliveries
  }

  /** How many were not acknowledged before. */
  async acknowledge(group: string, deliveryIds: readonly string[]): Promise<number> {
    const answer = await this.#call('POST', '/acknowledge', { group, deliveryIds }, timeoutMs)
    return (answer as AcknowledgeAnswer).acknowledged
  }

  /** The keys of the messages that the group has not acknowledged, delivered or not. */
  async pendingKeys(group: string): Promise<readonly string[]> {
    const answer = await this.#call('POST', '/pending', { group }, timeoutMs)
    return (answer as PendingAnswer).keys
  }

  async health(): Promise<Health> {
    return (await this.#call('GET', '/health', undefined, timeoutMs)) as Health
  }

  #call(method: 'GET' | 'POST', path: string, body: unknown, waitMs: number): Promise<unknown> {
    return callJson(method, `${this.#url}${path}`, body, { timeoutMs: waitMs })
  }
}

import { type IncomingMessage, type ServerResponse, createServer, request } from 'node:http'
import type { AddressInfo, Socket } from 'node:net'
import { pipeline } from 'node:stream'

/** What a fault does to one request: it never arrives, or it takes effect and its answer is lost. */
type Fault = 'lose-request' | 'lose-answer'

interface Ordered {
  readonly path: string
  readonly fault: Fault
  readonly happened: () => void
}

/**
 * The network between the services and one server: a loopback proxy that can be cut, and that can lose single requests and answers.
 * Whatever it does to a caller is a connection reset (ECONNRESET), as after a router or a host died.
 */
export class Network {
  readonly #targetPort: number
  readonly #server = createServer((asked, answer) => this.#carry(asked, answer))
  /** The callers' connections on which a request is under way. */
  readonly #busy = new Set<Socket>()
  readonly #ordered: Ordered[] = []
  readonly #unanswered = new Map<string, number>()
  #isCut = false

  private constructor(targetPort: number) {
    this.#targetPort = targetPort
  }

  /** Carries requests to a port of this machine. The server behind it may come and go. */
  static async to(targetPort: number): Promise<Network> {
    const network = new Network(targetPort)
    await new Promise<void>((resolve) => network.#server.listen(0, '127.0.0.1', resolve))
    return network
  }

  /** What the services call in place of the server. */
  get url(): string {
    return `http://127.0.0.1:${(this.#server.address() as AddressInfo).port}`
  }

  /**
   * From now on nothing gets through, neither way, until `repair`: requests that are under way are reset, and every new one before it
   * reaches the server.
   */
  cut(): void {
    this.#isCut = true
    // Idle connections are left alone: one that was reset would fail its first request after the repair.
    for (const socket of this.#busy) socket.resetAndDestroy()
  }

  repair(): void {
    this.#isCut = false
  }

  /** The next request with this path does not arrive. Resolves when that has happened. */
  loseNextRequest(path: string): Promise<void> {
    return this.#order(path, 'lose-request')
  }

  /** The next request with this path arrives and takes effect, but its answer does not come back. Resolves when that has happened. */
  loseNextAnswer(path: string): Promise<void> {
    return this.#order(path, 'lose-answer')
  }

  /** How many requests with this path got no answer, for whatever reason: a cut, a fault, a server that was down. */
  unanswered(path: string): number {
    return this.#unanswered.get(path) ?? 0
  }

  async close(): Promise<void> {
    const closed = new Promise((resolve) => this.#server.close(resolve))
    this.#server.closeAllConnections()
    await closed
  }

  #order(path: string, fault: Fault): Promise<void> {
    return new Promise((happened) => this.#ordered.push({ path, fault, happened }))
  }

  #carry(asked: IncomingMessage, answer: ServerResponse): void {
    // `asked` forgets its socket once it is over, and errors still come then.
    const { method, url = '', headers, socket } = asked
    answer.once('close', () => {
      if (!answer.writableFinished) this.#unanswered.set(url, this.unanswered(url) + 1)
    })
    const at = this.#isCut ? -1 : this.#ordered.findIndex(({ path }) => path === url)
    const [ordered] = at < 0 ? [] : this.#ordered.splice(at, 1)
    const lose = (): void => {
      socket.resetAndDestroy()
      ordered?.happened()
    }
    if (this.#isCut || ordered?.fault === 'lose-request') return lose()
    const carried = request({ host: '127.0.0.1', port: this.#targetPort, method, path: url, headers })
    const reset = (error: unknown): void =>
      void (error && !answer.writableFinished && socket.resetAndDestroy())
    carried.once('response', (response) => {
      if (ordered !== undefined) return void response.resume().once('end', lose)
      answer.writeHead(response.statusCode!, response.headers)
      pipeline(response, answer, reset)
    })
    this.#busy.add(socket)
    answer.once('close', () => {
      this.#busy.delete(socket)
      // Whoever hung up here has hung up there.
      carried.destroy()
    })
    pipeline(asked, carried, reset)
    carried.on('error', reset)
  }
}

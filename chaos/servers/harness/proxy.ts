import { hash } from 'node:crypto'
import { once } from 'node:events'
import { type AddressInfo, type Server, type Socket, connect, createServer } from 'node:net'

/** What becomes of a request: it goes through, never arrives, or arrives and its answer is lost. */
export type Fate = 'pass' | 'cut-before' | 'cut-after'

/**
 * A loopback TCP proxy before a database server. It cuts the connection that sent a request before the request went through, or
 * after: when its answer comes, which says that the server has done it.
 */
export class Proxy implements AsyncDisposable {
  /** Asked for each piece that a client sends. */
  fateOf: (request: string) => Fate = () => 'pass'
  readonly #server: Server
  readonly #open = new Set<Socket>()
  readonly #target: URL

  private constructor(target: URL) {
    this.#target = target
    this.#server = createServer((client) => this.#serve(client))
  }

  static async before(url: string): Promise<Proxy> {
    const proxy = new Proxy(new URL(url))
    proxy.#server.listen(0, '127.0.0.1')
    await once(proxy.#server, 'listening')
    return proxy
  }

  /** The target's URL, by way of the proxy. */
  get url(): string {
    const url = new URL(this.#target)
    url.port = String((this.#server.address() as AddressInfo).port)
    return url.href
  }

  #serve(client: Socket): void {
    const server = connect(Number(this.#target.port), this.#target.hostname)
    const cut = (): void => {
      client.destroy()
      server.destroy()
    }
    let isAnswerLost = false
    for (const socket of [client, server]) {
      this.#open.add(socket)
      socket.setNoDelay(true)
      socket.on('error', cut)
      socket.on('close', () => {
        this.#open.delete(socket)
        cut()
      })
    }
    client.on('data', (piece) => {
      const fate = this.fateOf(piece.toString('latin1'))
      if (fate === 'cut-before') return cut()
      isAnswerLost ||= fate === 'cut-after'
      server.write(piece)
    })
    server.on('data', (piece) => {
      if (isAnswerLost) cut()
      else client.write(piece)
    })
  }

  async [Symbol.asyncDispose](): Promise<void> {
    for (const socket of this.#open) socket.destroy()
    this.#server.close()
  }
}

/** A COMMIT of its own, in either protocol: as a text, or by the name that Waybill's handle for `pg` prepares it under. */
const commits = [
  '\u000bcommit\0',
  '\0commit\0',
  '\u0003commit',
  '\u0003\0\u0001commit',
  `waybill_${hash('sha1', 'commit')}`,
]

export function isCommit(request: string): boolean {
  return commits.some((commit) => request.toLowerCase().includes(commit))
}

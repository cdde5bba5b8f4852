import { once } from 'node:events'
import { type AddressInfo, type Server, type Socket, connect, createServer } from 'node:net'

/** Stands before a server of MySQL, and cuts the connection at a COMMIT. */
export class MysqlProxy implements AsyncDisposable {
  /** Before the next COMMIT gets through, or after the server has done it. */
  cutAt: 'cut before' | 'cut after' | undefined
  readonly #server: Server
  #target = new URL('mysql://127.0.0.1:1')
  readonly #open = new Set<Socket>()

  private constructor() {
    this.#server = createServer((client) => this.#serve(client))
  }

  static async start(): Promise<MysqlProxy> {
    const proxy = new MysqlProxy()
    proxy.#server.listen(0, '127.0.0.1')
    await once(proxy.#server, 'listening')
    return proxy
  }

  /** The URL of a database, by way of the proxy. */
  before(url: string): string {
    this.#target = new URL(url)
    const through = new URL(url)
    through.port = String((this.#server.address() as AddressInfo).port)
    return through.href
  }

  async [Symbol.asyncDispose](): Promise<void> {
    for (const socket of this.#open) socket.destroy()
    this.#server.close()
  }

  #serve(client: Socket): void {
    const server = connect(Number(this.#target.port), this.#target.hostname)
    const cut = (): void => {
      client.destroy()
      server.destroy()
    }
    let isCommitting = false
    for (const socket of [client, server]) {
      this.#open.add(socket)
      socket.on('close', () => {
        this.#open.delete(socket)
        cut()
      })
      socket.on('error', () => {})
    }
    client.on('data', (data) => {
      const fate = this.#fateOf(data)
      if (fate === 'cut before') return cut()
      isCommitting = fate === 'cut after'
      server.write(data)
    })
    server.on('data', (data) => {
      if (isCommitting) cut()
      else client.write(data)
    })
  }

  #fateOf(data: Buffer): MysqlProxy['cutAt'] {
    if (this.cutAt === undefined || !/commit/i.test(data.toString('latin1'))) return undefined
    const fate = this.cutAt
    this.cutAt = undefined
    return fate
  }
}

/** JSON over loopback HTTP, for the services and for the example broker. Small on purpose: POST or GET, JSON both ways. */

import { createServer, type IncomingMessage, type ServerResponse } from 'node:http'
import type { AddressInfo } from 'node:net'

const bodyBytesMax = 8 * 1024 * 1024
const closeGraceMs = 300

/** An answer that is not 2xx, on either side of the wire. */
export class HttpError extends Error {
  override readonly name = 'HttpError'
  readonly status: number
  readonly code: string

  constructor(status: number, code: string, message: string, options?: ErrorOptions) {
    super(message, options)
    this.status = status
    this.code = code
  }
}

/** `gone` fires when the caller hung up before it was answered. */
export type Route = (body: unknown, gone: AbortSignal) => unknown
export type Routes = Readonly<Record<`${'GET' | 'POST'} /${string}`, Route>>

export interface HttpServer {
  readonly port: number
  close(): Promise<void>
}

export async function serveJson(port: number, routes: Routes): Promise<HttpServer> {
  const table = new Map<string, Route>(Object.entries(routes))
  const server = createServer((request, response) => void answer(table, request, response))
  await new Promise<void>((resolve, reject) => {
    server.once('error', reject)
    server.listen(port, '127.0.0.1', resolve)
  })
  const close = (): Promise<void> =>
    new Promise((resolve) => {
      server.close(() => resolve())
      server.closeIdleConnections()
      // Long polls would keep it open for as long as they wait.
      setTimeout(() => server.closeAllConnections(), closeGraceMs).unref()
    })
  return { port: (server.address() as AddressInfo).port, close }
}

async function answer(
  table: Map<string, Route>,
  request: IncomingMessage,
  response: ServerResponse,
): Promise<void> {
  const gone = new AbortController()
  response.once('close', () => gone.abort())
  try {
    const path = request.url?.split('?')[0] ?? '/'
    const route = table.get(`${request.method} ${path}`)
    if (route === undefined)
      throw new HttpError(404, 'http.not-found', `there is no ${request.method} ${path}`)
    send(response, 200, await route(await readJson(request), gone.signal))
  } catch (error) {
    if (!(error instanceof HttpError)) console.error(error)
    const known = error instanceof HttpError ? error : new HttpError(500, 'http.failed', String(error))
    // 0 is for whoever got no answer itself.
    send(response, known.status === 0 ? 502 : known.status, {
      error: { code: known.code, message: known.message },
    })
  }
}

async function readJson(request: IncomingMessage): Promise<unknown> {
  const chunks: Buffer[] = []
  let bytes = 0
  for await (const chunk of request as AsyncIterable<Buffer>) {
    bytes += chunk.length
    if (bytes <= bodyBytesMax) chunks.push(chunk)
  }
  // Read to its end all the same: leaving it early would reset the connection, and the caller would not learn why.
  if (bytes > bodyBytesMax)
    throw new HttpError(413, 'http.too-large', `a body may have ${bodyBytesMax} bytes`)
  if (bytes === 0) return undefined
  try {
    return JSON.parse(Buffer.concat(chunks).toString('utf8'))
  } catch (cause) {
    throw new HttpError(400, 'http.not-json', 'the body is not JSON', { cause })
  }
}

function send(response: ServerResponse, status: number, body: unknown): void {
  if (response.destroyed) return
  response.writeHead(status, { 'content-type': 'application/json' })
  response.end(JSON.stringify(body ?? {}))
}

export interface CallOptions {
  readonly timeoutMs: number
  readonly signal?: AbortSignal
}

/** Throws HttpError with the status, or with status 0 when nobody answered: whether the call had an effect is unknown. */
export async function callJson(
  method: 'GET' | 'POST',
  url: string,
  body: unknown,
  options: CallOptions,
): Promise<unknown> {
  const timeout = AbortSignal.timeout(options.timeoutMs)
  const signal = options.signal ? AbortSignal.any([options.signal, timeout]) : timeout
  const sent = body === undefined ? {} : { body: JSON.stringify(body) }
  try {
    const response = await fetch(url, {
      method,
      signal,
      headers: { 'content-type': 'application/json' },
      ...sent,
    })
    const answered: unknown = await response.json()
    if (!response.ok) throw refusal(response.status, answered)
    return answered
  } catch (error) {
    if (error instanceof HttpError) throw error
    throw new HttpError(0, timeout.aborted ? 'http.timed-out' : 'http.unreachable', `${method} ${url}`, {
      cause: error,
    })
  }
}

function refusal(status: number, answered: unknown): HttpError {
  const { code, message } = (answered as { error?: { code?: string; message?: string } }).error ?? {}
  return new HttpError(status, code ?? 'http.failed', message ?? `status ${status}`)
}

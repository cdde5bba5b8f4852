import { createServer } from 'node:net'

/**
 * Below the range from which Linux gives ports to outgoing connections (32768 and up). While a server is down between a crash
 * and its restart, its own waiting clients could otherwise be given its port, or end up connected to themselves.
 */
const first = 20_000
const last = 32_000
const triesMax = 100

/** A loopback port on which nobody listens now. Somebody may take it before its use: who starts a server on it tries again. */
export async function freePort(): Promise<number> {
  for (let attempt = 0; attempt < triesMax; attempt += 1) {
    const port = first + Math.floor(Math.random() * (last - first))
    if (await isFree(port)) return port
  }
  throw new Error(`no free port between ${first} and ${last}`)
}

function isFree(port: number): Promise<boolean> {
  return new Promise((resolve) => {
    const server = createServer()
    server.once('error', () => resolve(false))
    server.listen(port, '127.0.0.1', () => server.close(() => resolve(true)))
  })
}

import { callJson, HttpError } from '../../shop/shared/http.ts'

/** What the logistics company is asked for. */
export interface Shipment {
  readonly orderId: string
  readonly customer: string
  /** A second call with the same one ships nothing. */
  readonly idempotencyKey: string
}

/** Nobody answered, or it has a problem of its own: the order is not to blame. */
export class LogisticsDown extends Error {
  override readonly name = 'LogisticsDown'
}

const timeoutMs = 2_000

/** Calls the logistics company. @throws LogisticsDown, and it may have shipped all the same */
export async function ship(url: string, shipment: Shipment): Promise<void> {
  await call('POST', `${url}/shipments`, shipment)
}

/** @throws LogisticsDown */
export async function askHealth(url: string, signal: AbortSignal): Promise<void> {
  await call('GET', `${url}/health`, undefined, signal)
}

async function call(method: 'GET' | 'POST', url: string, body: unknown, signal?: AbortSignal): Promise<void> {
  try {
    await callJson(method, url, body, { timeoutMs, ...(signal && { signal }) })
  } catch (error) {
    if (!(error instanceof HttpError) || (error.status > 0 && error.status < 500)) throw error
    throw new LogisticsDown(`no answer from logistics (${error.code})`, { cause: error })
  }
}

/**
 * The payment system: tells the shop of a payment by HTTP, and calls again until it is answered, waiting twice as long each time. It cannot know
 * whether a call that was not answered has been heard.
 */

import { serviceArguments } from '../../shop/shared/arguments.ts'
import { callJson, HttpError, serveJson } from '../../shop/shared/http.ts'
import type { PaymentCallback } from '../../shop/shared/payment-callback.ts'
import { reportReady, stopWhenAsked } from '../../shop/shared/process.ts'
import { paymentTimeoutMs } from '../../shop/shared/third-parties.ts'

export interface Payment extends Omit<PaymentCallback, 'notification'> {
  /** Where to tell of it. */
  readonly notifyUrl: string
}

/** How often it called until it was answered. */
export interface Notified {
  readonly calls: number
}

async function pay({ notifyUrl, ...payment }: Payment): Promise<Notified> {
  for (let notification = 1; ; notification += 1) {
    const callback: PaymentCallback = { ...payment, notification }
    try {
      await callJson('POST', notifyUrl, callback, { timeoutMs: paymentTimeoutMs * 2 ** (notification - 1) })
      return { calls: notification }
    } catch (error) {
      if (!(error instanceof HttpError && error.status === 0)) throw error
    }
  }
}

const { port } = serviceArguments()
const server = await serveJson(port, { 'POST /pay': (body) => pay(body as Payment) })
stopWhenAsked(() => server.close())
reportReady({ port: server.port })

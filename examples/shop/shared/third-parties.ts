/**
 * What the services call outside, as such calls are: a few milliseconds, seldom very slow, seldom failing. Which call
 * is slow or fails follows from the ids alone, so both sides meet the same bad luck.
 */

import { setTimeout as sleep } from 'node:timers/promises'
import { chanceOf } from '../random.ts'

const bankMs = { min: 2, max: 6 }
const providerMs = { min: 5, max: 20 }
const slowShare = 0.02
/** Longer than the payment system waits for an answer (paymentTimeoutMs). */
const slowMs = 400
const failingShare = 0.02

export const paymentTimeoutMs = 250

/** The order service books the payment with the bank. Now and then the first try is slow; never the repeated ones. */
export async function bookPayment(orderId: string, notification: number): Promise<void> {
  const isSlow = notification === 1 && chanceOf('slow', orderId) < slowShare
  await sleep(isSlow ? slowMs : usually(bankMs, 'bank', orderId))
}

/** A consumer calls its provider: the coupon issuer, the carrier, … Now and then that fails, and works a little later. */
export async function callProvider(group: string, orderId: string, attempt: number): Promise<void> {
  await sleep(usually(providerMs, group, orderId))
  if (chanceOf('failing', group, orderId, attempt) < failingShare) throw new ProviderFailed(group)
}

export const providerRetryMs = 200

export class ProviderFailed extends Error {
  override readonly name = 'ProviderFailed'

  constructor(group: string) {
    super(`the provider of ${group} answered 503`)
  }
}

function usually({ min, max }: { min: number; max: number }, party: string, orderId: string): number {
  return min + Math.floor(chanceOf(party, orderId) * (max - min + 1))
}

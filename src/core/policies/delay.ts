import { milliseconds } from '../duration.ts'
import { WaybillError } from '../errors.ts'
import type { NewMessage } from '../message.ts'

/** RocketMQ's eighteen levels, in seconds: 1s 5s 10s 30s 1m … 10m 20m 30m 1h 2h. */
const levelSeconds = [1, 5, 10, 30, 60, 120, 180, 240, 300, 360, 420, 480, 540, 600, 1200, 1800, 3600, 7200]

/**
 * When a message is due: now, unless it is delayed. A time that has passed means now.
 * @throws WaybillError `message.delay-invalid`, `duration.invalid`
 */
export function dueTime(message: NewMessage<unknown>, now: number): number {
  const { delay, deliverAt, delayLevel } = message
  if (delay === undefined && deliverAt === undefined && delayLevel === undefined) return now
  const given = [delay, deliverAt, delayLevel].filter((one) => one !== undefined)
  if (given.length > 1) throw refused('give one of delay, deliverAt and delayLevel')
  if (delay !== undefined) return now + milliseconds(delay)
  if (deliverAt !== undefined) {
    if (!(deliverAt instanceof Date) || Number.isNaN(deliverAt.getTime()))
      throw refused('deliverAt must be a valid Date')
    return Math.max(now, deliverAt.getTime())
  }
  const seconds = levelSeconds[(delayLevel ?? 0) - 1]
  if (seconds === undefined)
    throw refused(`delayLevel must be a whole number from 1 to ${levelSeconds.length}`)
  return now + seconds * 1_000
}

function refused(why: string): WaybillError {
  return new WaybillError('message.delay-invalid', `the delay is refused: ${why}`)
}

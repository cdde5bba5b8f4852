import type { Clock } from '../core/clock.ts'
import type { MessageId, OwnerId } from '../core/ids.ts'
import { type Log, silentLog } from '../core/log.ts'
import type { CrashPoint, Ports } from '../core/ports.ts'
import { noTelemetry } from '../core/telemetry.ts'
import { systemPorts } from '../system.ts'
import { VirtualClock } from './virtual-clock.ts'

export interface TestPortsOptions<C extends Clock> {
  readonly clock?: C
  /** Decides chance and ids. Databases that must not pass for one another need ports with different seeds, or the same ports. */
  readonly seed?: number
  readonly log?: Log
  /** Called at each crash point after it was recorded; a throw is what the code under test then sees. */
  readonly reached?: (point: CrashPoint) => void
}

export interface TestPorts<C extends Clock = VirtualClock> extends Ports {
  readonly clock: C
  /** The crash points that were passed, in order. */
  readonly points: readonly CrashPoint[]
}

/** Ports for tests: a virtual clock unless another is given, chance and ids that a seed decides, no output. */
export function testPorts<C extends Clock = VirtualClock>(options: TestPortsOptions<C> = {}): TestPorts<C> {
  const seed = options.seed ?? 1
  const clock = options.clock ?? (new VirtualClock() as unknown as C)
  const random = seededRandom(seed)
  const points: CrashPoint[] = []
  let count = 0
  return {
    clock,
    ids: {
      message: () => orderedUuid(clock.now(), seed, count++) as MessageId,
      owner: () => `owner-${seed}-${String(count++).padStart(6, '0')}` as OwnerId,
      epoch: () => orderedUuid(clock.now(), seed, count++),
    },
    random: { next: random },
    digest: systemPorts.digest,
    log: options.log ?? silentLog,
    telemetry: noTelemetry,
    keepAlive: () => () => {},
    points,
    reached: (point) => {
      points.push(point)
      options.reached?.(point)
    },
  }
}

/** Shaped like a UUIDv7: sorts by time, then by the order in which they were made. */
function orderedUuid(timeMs: number, seed: number, count: number): string {
  const hex = (value: number, digits: number): string =>
    value.toString(16).padStart(digits, '0').slice(-digits)
  const time = hex(timeMs, 12)
  return `${time.slice(0, 8)}-${time.slice(8)}-7${hex(Math.floor(count / 2 ** 48), 3)}-8${hex(seed, 3)}-${hex(count, 12)}`
}

/** mulberry32: small, fast, and the same on every machine. */
export function seededRandom(seed: number): () => number {
  let state = seed >>> 0
  return () => {
    state = (state + 0x6d2b79f5) >>> 0
    let mixed = Math.imul(state ^ (state >>> 15), state | 1)
    mixed ^= mixed + Math.imul(mixed ^ (mixed >>> 7), mixed | 61)
    return ((mixed ^ (mixed >>> 14)) >>> 0) / 2 ** 32
  }
}

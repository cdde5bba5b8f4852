import { seededRandom } from '../../src/testing/index.ts'
import { openSubject } from './subjects.ts'
import { type Tally, newTally, result, type ProofResult } from './tally.ts'
import { write } from './writers.ts'

export interface ProofOptions {
  readonly database: string
  readonly messages: number
  readonly writers: number
  readonly seed: number
  /** 'naive' polls `id > last`, the control that must skip. */
  readonly reader: 'waybill' | 'naive'
  readonly say: (line: string) => void
}

const sayEveryMs = 2_000

export async function prove(options: ProofOptions): Promise<ProofResult> {
  const subject = await openSubject(options.database)
  const tally: Tally = newTally()
  const random = seededRandom(options.seed)
  try {
    const stopReading = new AbortController()
    const reading =
      options.reader === 'naive'
        ? subject.readNaively(tally, stopReading.signal)
        : subject.read(tally, stopReading.signal)
    // The reader is idle before the first message: a cursor that begins with a message hides the first one's loss.
    await tally.hasLooked
    const saying = setInterval(
      () => options.say(`${tally.committed.size} committed, ${tally.seen} read`),
      sayEveryMs,
    )
    const began = performance.now()
    await write(subject, tally, options, random)
    await subject.settled(tally)
    const tookMs = performance.now() - began
    clearInterval(saying)
    stopReading.abort()
    await reading
    return result(tally, tookMs)
  } finally {
    await subject.dispose()
  }
}

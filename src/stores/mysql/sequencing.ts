import { WaybillError } from '../../core/errors.ts'
import type { Ports } from '../../core/ports.ts'
import type { QueueName } from '../../core/store.ts'
import type { MyAccess } from './access.ts'
import type { MyConnection } from './connection.ts'
import { rebase } from './rebase.ts'
import { rowsOf } from './rows.ts'
import { usedPlaces } from './taken.ts'
import { endingZombies, moments } from './zombies.ts'

/** Rows that one transaction takes: enough to be cheap for each, few enough to be short. */
const portion = 2_000
/** Nobody puts older files under a server in less. */
const rebaseEveryMs = 1_000

/**
 * Puts what is newly committed into the sequence of its queue, for all readers of this process at once: whoever asks while it is on its
 * way waits for the next, since the first may have looked too early.
 */
export class Sequencing {
  readonly #access: MyAccess
  readonly #ports: Ports
  readonly #queues = new Map<string, Turns>()
  #rebasedAt = Number.NEGATIVE_INFINITY

  constructor(access: MyAccess, ports: Ports) {
    this.#access = access
    this.#ports = ports
  }

  /** Before anybody reads what is put in sequence, it is known whether the database was put back (P12). See `rebase`. */
  async rebase(connection: MyConnection): Promise<boolean> {
    const hasBegun = await rebase(connection, this.#ports.ids.epoch)
    this.#rebasedAt = this.#ports.clock.monotonic()
    return hasBegun
  }

  /** One portion of one queue. Answers how many rows it took. */
  portion(queue: QueueName): Promise<number> {
    const name = `${queue.topic}/${queue.queue}`
    let turns = this.#queues.get(name)
    if (!turns) {
      turns = new Turns(() => this.#once(queue))
      this.#queues.set(name, turns)
    }
    return turns.take()
  }

  /** Everything that was committed before the call. */
  async all(): Promise<void> {
    const queues = await this.#access.read.all(
      `select e.topic, e.queue from waybill_ends e
       where exists (select 1 from waybill_messages m where m.topic = e.topic and m.queue = e.queue and m.seq = 0)`,
    )
    for (const { topic, queue } of queues) while ((await this.portion({ topic, queue })) === portion);
  }

  async #once({ topic, queue }: QueueName): Promise<number> {
    // Nothing is written, and nothing locked, while there is nothing new (P15).
    const some = await this.#access.read.all(
      'select 1 from waybill_messages where topic = ? and queue = ? and seq = 0 limit 1',
      topic,
      queue,
    )
    if (some.length === 0) return 0
    return this.#access.write(async (connection) => {
      if (this.#ports.clock.monotonic() - this.#rebasedAt >= rebaseEveryMs) await this.rebase(connection)
      return sequence(connection, topic, queue)
    })
  }
}

/**
 * The sequence is a column of the row, 0 until it is given, so that the row keeps its length. Measured on MariaDB 10.11 with 1 KB bodies
 * in batches of 2,000 (on a busy machine): 37,000 rows/s, against 11,000 with NULL until then. A narrow table of what is not in sequence,
 * with runs of positions, made 72,000; but each publish then writes a second row in a second round trip, and no join leads from a row to
 * its run, as MariaDB has no lateral ones. While somebody holds an old snapshot open, the index keeps the entry at 0 of all that was put
 * in sequence since, and the look passes over them: some 0.13 ms for every thousand.
 *
 * - The lock before the look: under READ COMMITTED each statement sees anew, and what another sequenced must be seen.
 * - A plain read, which is a snapshot. One that skips locked rows is none: it may pass a row that is not committed yet, and then meet a
 *   later one of the same key that has become so meanwhile (P10).
 * - Above every place that is taken or passed, whatever the end says: a message that got such a place would be passed over as done.
 *   Reads that are nested in one that locks lock nothing: a handler whose claim is open holds up no queue (P15).
 * - In the order of positions: a transaction that began after another's commit was heard of drew later ones (P18).
 */
async function sequence(connection: MyConnection, topic: string, queue: number): Promise<number> {
  const lock = `select greatest(e.seq,
      coalesce((select max(m.seq) from waybill_messages m where m.topic = ? and m.queue = ?), 0), ${usedPlaces}) as seq
    from waybill_ends e where e.topic = ? and e.queue = ? for update`
  const asked = [topic, queue, topic, queue, topic, queue] as const
  const [free] = await connection.all(`${lock} skip locked`, ...asked)
  const [end] = free ? [free] : await endingZombies(connection, moments, () => connection.all(lock, ...asked))
  const rows = await connection.all(
    `select pos from waybill_messages where topic = ? and queue = ? and seq = 0 order by pos limit ${portion}`,
    topic,
    queue,
  )
  if (rows.length === 0) return 0
  const last = end!['seq'] as number
  const changed = await connection.run(
    `update ${rowsOf('pos bigint')} t straight_join waybill_messages m on m.pos = t.pos set m.seq = ? + t.ord where m.seq = 0`,
    JSON.stringify(rows.map((row) => [row['pos']])),
    last,
  )
  if (changed !== rows.length)
    throw new WaybillError(
      'store.busy',
      `${rows.length} rows were to be put in sequence and ${changed} were; it is tried again`,
    )
  await connection.run(
    'update waybill_ends set seq = ? where topic = ? and queue = ?',
    last + changed,
    topic,
    queue,
  )
  return changed
}

/** One at a time, and one more for all who come meanwhile. */
class Turns {
  readonly #work: () => Promise<number>
  #running: Promise<number> | undefined
  #next: Promise<number> | undefined

  constructor(work: () => Promise<number>) {
    this.#work = work
  }

  take(): Promise<number> {
    if (!this.#running) return this.#start()
    this.#next ??= this.#running.then(
      () => this.#start(),
      () => this.#start(),
    )
    return this.#next
  }

  #start(): Promise<number> {
    this.#next = undefined
    this.#running = this.#work().finally(() => {
      this.#running = undefined
    })
    return this.#running
  }
}

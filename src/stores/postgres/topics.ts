import type { TopicDeclaration } from '../../core/store.ts'
import { checkSame } from '../sql/topic-rules.ts'
import type { PgConnection } from './connection.ts'

/** The topics and their queue counts (P19). Remembers only what it saw committed, over a connection of its own. */
export class Topics {
  readonly #read: PgConnection
  readonly #committed = new Map<string, number>()

  constructor(read: PgConnection) {
    this.#read = read
  }

  /** Whether all of them are known to be there as declared, so that publishing needs to look for nothing. Throws `topic.queues-differ`. */
  areKnown(topics: readonly TopicDeclaration[]): boolean {
    return topics.every((topic) => {
      const known = this.#committed.get(topic.name)
      if (known !== undefined) checkSame(topic, known)
      return known !== undefined
    })
  }

  /** Makes sure that the topic exists, in the caller's transaction. Asks nothing once it was seen committed. */
  async ensure(connection: PgConnection, topic: TopicDeclaration): Promise<void> {
    const known = await this.#queuesOf(connection, topic.name)
    if (known !== undefined) return checkSame(topic, known)
    await connection.run(
      'insert into waybill_topics (name, queues, created_at) values (?, ?, waybill_now()) on conflict do nothing',
      topic.name,
      topic.queues,
    )
    checkSame(topic, (await queuesIn(connection, topic.name)) ?? topic.queues)
  }

  /** The number of queues that a topic has in this database, whatever another database says; creates it like `like` if it is new. */
  async queuesOrCreate(connection: PgConnection, like: TopicDeclaration): Promise<number> {
    const known = await this.#queuesOf(connection, like.name)
    if (known !== undefined) return known
    await this.ensure(connection, like)
    return like.queues
  }

  async list(): Promise<readonly TopicDeclaration[]> {
    const rows = await this.#read.all('select name, queues from waybill_topics order by name')
    return rows.map((row) => ({ name: row['name'], queues: row['queues'] }))
  }

  async #queuesOf(connection: PgConnection, name: string): Promise<number | undefined> {
    const known = this.#committed.get(name)
    if (known !== undefined) return known
    const queues = await queuesIn(connection, name)
    // Not awaited: whoever holds a connection and waits for another one may wait for ever, when the pool has no more.
    if (queues !== undefined) void this.#learn(name).catch(() => {})
    return queues
  }

  /** The caller's transaction may have created it itself, and may roll back. */
  async #learn(name: string): Promise<void> {
    const queues = await queuesIn(this.#read, name)
    if (queues !== undefined) this.#committed.set(name, queues)
  }
}

async function queuesIn(connection: PgConnection, name: string): Promise<number | undefined> {
  const [row] = await connection.all('select queues from waybill_topics where name = ?', name)
  return row?.['queues'] as number | undefined
}

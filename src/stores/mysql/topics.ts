import type { TopicDeclaration } from '../../core/store.ts'
import { checkSame } from '../sql/topic-rules.ts'
import type { MyConnection } from './connection.ts'
import { valuesOf } from './rows.ts'

/**
 * The topics and their queue counts (P19). Remembers only what it saw committed, over a connection of its own; for that nobody waits
 * who holds one already: as many as the pool has connections would wait for one more, for ever.
 */
export class Topics {
  readonly #read: MyConnection
  readonly #committed = new Map<string, number>()
  #isLearning = false

  constructor(read: MyConnection) {
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
  async ensure(connection: MyConnection, topic: TopicDeclaration): Promise<void> {
    const known = this.#committed.get(topic.name)
    if (known !== undefined) return checkSame(topic, known)
    this.#learn()
    const inserted = await connection.run(
      'insert ignore into waybill_topics (name, queues, created_at) values (?, ?, waybill_now())',
      topic.name,
      topic.queues,
    )
    if (inserted === 0) return checkSame(topic, (await queuesIn(connection, topic.name))!)
    const queues = Array.from({ length: topic.queues }, (_, queue) => queue)
    await connection.run(
      `insert ignore into waybill_ends (topic, queue) select ?, value from ${valuesOf('integer')} queues`,
      topic.name,
      JSON.stringify(queues),
    )
  }

  /** The number of queues that a topic has in this database, whatever another database says; creates it like `like` if it is new. */
  async queuesOrCreate(connection: MyConnection, like: TopicDeclaration): Promise<number> {
    const known = this.#committed.get(like.name) ?? (await queuesIn(connection, like.name))
    if (known !== undefined) return known
    await this.ensure(connection, like)
    return like.queues
  }

  async list(): Promise<readonly TopicDeclaration[]> {
    const rows = await this.#read.all('select name, queues from waybill_topics order by name')
    for (const row of rows) this.#committed.set(row['name'], row['queues'])
    return rows.map((row) => ({ name: row['name'], queues: row['queues'] }))
  }

  #learn(): void {
    if (this.#isLearning) return
    this.#isLearning = true
    void this.list()
      // The next one who asks looks again.
      .catch(() => {})
      .finally(() => {
        this.#isLearning = false
      })
  }
}

/** What is there now, also where the user's transaction looks at an older moment. */
async function queuesIn(connection: MyConnection, name: string): Promise<number | undefined> {
  const [row] = await connection.all(
    'select queues from waybill_topics where name = ? lock in share mode',
    name,
  )
  return row?.['queues'] as number | undefined
}

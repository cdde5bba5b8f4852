import { WaybillError } from '../../core/errors.ts'
import type { TopicDeclaration } from '../../core/store.ts'

/** @throws WaybillError `topic.queues-differ` */
export function checkSame(topic: TopicDeclaration, stored: number): void {
  if (stored === topic.queues) return
  throw new WaybillError(
    'topic.queues-differ',
    `topic ${topic.name} has ${stored} queues in this database but is declared with ${topic.queues}; the number is fixed when the topic is created, so declare { queues: ${stored} }`,
    { topic: topic.name, stored, declared: topic.queues },
  )
}

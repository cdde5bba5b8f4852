import type { Dependency } from '../core/dependencies.ts'
import { type Duration, milliseconds } from '../core/duration.ts'
import { WaybillError } from '../core/errors.ts'
import { checkGroupName } from '../core/names.ts'
import { type RetryPolicy, rocketmqRetries } from '../core/policies/retry.ts'
import type { StartPosition } from '../core/store.ts'

export interface ConsumeOptions {
  /** The consumer group: each group handles every message once. */
  readonly group: string
  /** Only messages with one of these tags: 'paid || refunded'. The others get the disposition *filtered*. Default: all. */
  readonly tags?: string
  /** Where a new group starts; needed when older messages exist. Counts only when the group is created. */
  readonly from?: StartPosition
  /** Raise it when topics, tags or order of an existing group change: older instances then stop taking messages. Default 1. */
  readonly subscriptionVersion?: number
  /** How many messages of the group this instance handles at once. Default 8; ordered groups run one per queue. */
  readonly concurrency?: number
  /** Keep the order of each sharding key, also through retries and dead letters. */
  readonly order?: 'sharding-key'
  /** Ordered groups: a dead message holds its key's later ones until it is redriven or discarded, or is skipped. Default 'hold'. */
  readonly onFailure?: 'hold' | 'skip'
  /** When a failed message is tried again. Default: RocketMQ's schedule, 10 s to 2 h, sixteen retries. */
  readonly retry?: RetryPolicy
  /** What its handler needs outside: while one is down, the group waits, and no attempts are burnt. Declared with `dependency()`. */
  readonly dependencies?: readonly Dependency[]
}

export interface BatchConsumeOptions extends ConsumeOptions {
  /** The handler takes up to this many messages in one transaction; on failure the batch is split. 2 to 1000. */
  readonly batch: number
}

/** The options with every default filled in. */
export interface ConsumeSettings {
  readonly group: string
  readonly tags: ReadonlySet<string> | undefined
  readonly tagFilter: string
  readonly from: StartPosition | undefined
  readonly subscriptionVersion: number
  readonly concurrency: number
  readonly ordered: boolean
  readonly onFailure: 'hold' | 'skip'
  readonly retry: RetryPolicy
  readonly batch: number | undefined
  readonly dependencies: readonly Dependency[]
}

const concurrencyDefault = 8
const known = new Set([
  'group',
  'tags',
  'from',
  'subscriptionVersion',
  'concurrency',
  'order',
  'onFailure',
  'retry',
  'batch',
  'dependencies',
])

/** @throws WaybillError `group.name-invalid`, `group.options-invalid` */
export function settingsOf(options: ConsumeOptions & { readonly batch?: number }): ConsumeSettings {
  if (typeof options !== 'object' || options === null)
    throw new WaybillError('group.options-invalid', 'consume needs options with at least a group')
  checkGroupName(options.group)
  const {
    group,
    tags,
    from,
    subscriptionVersion = 1,
    concurrency = concurrencyDefault,
    order,
    onFailure = 'hold',
    retry = rocketmqRetries,
    batch,
    dependencies = [],
  } = options
  const refuse = (what: string): never => {
    throw new WaybillError('group.options-invalid', `consumer group ${group}: ${what}`, { group })
  }
  for (const name of Object.keys(options))
    if (!known.has(name)) refuse(`the option ${JSON.stringify(name)} is unknown`)
  if (!Number.isInteger(concurrency) || concurrency < 1 || concurrency > 1000)
    refuse('concurrency must be a whole number from 1 to 1000')
  if (!Number.isInteger(subscriptionVersion) || subscriptionVersion < 1)
    refuse('subscriptionVersion must be a whole number from 1')
  if (batch !== undefined && (!Number.isInteger(batch) || batch < 2 || batch > 1000))
    refuse('batch must be a whole number from 2 to 1000')
  if (order !== undefined && order !== 'sharding-key') refuse("order can only be 'sharding-key'")
  if (onFailure !== 'hold' && onFailure !== 'skip') refuse("onFailure must be 'hold' or 'skip'")
  if (
    from !== undefined &&
    from !== 'oldest' &&
    from !== 'now' &&
    !(from instanceof Date && !Number.isNaN(from.getTime()))
  )
    refuse("from must be 'oldest', 'now' or a Date")
  if (typeof retry?.delayMs !== 'function')
    refuse('retry must be a retry policy, such as exponentialRetries({ … })')
  if (
    !Array.isArray(dependencies) ||
    dependencies.some((one: Dependency) => typeof one?.probe !== 'function')
  )
    refuse('dependencies must be a list of what dependency(name, { probe }) answers')
  const wanted = parseTags(tags, refuse)
  return {
    group,
    tags: wanted,
    tagFilter: wanted ? [...wanted].toSorted().join(' || ') : '*',
    from,
    subscriptionVersion,
    concurrency,
    ordered: order === 'sharding-key',
    onFailure,
    retry,
    batch,
    dependencies,
  }
}

function parseTags(tags: unknown, refuse: (what: string) => never): ReadonlySet<string> | undefined {
  if (tags === undefined || tags === '*') return undefined
  if (typeof tags !== 'string') return refuse("tags must be text such as 'paid || refunded'")
  const list = tags.split('||').map((tag) => tag.trim())
  if (list.some((tag) => tag === '' || tag.includes('|')))
    refuse(`the tag filter ${JSON.stringify(tags)} is not of the form 'a || b'`)
  return new Set(list)
}

/** When a failed delivery is due again; undefined when its retries are used up. */
export function retryAt(
  settings: ConsumeSettings,
  attempts: number,
  asked: Duration | undefined,
  now: number,
  chance: number,
): number | undefined {
  const delayMs = delayOf(settings.retry, attempts, chance)
  if (delayMs === undefined) return undefined
  return now + (asked === undefined ? delayMs : milliseconds(asked))
}

/** A policy that throws or answers nonsense ends the retries: a dead letter is in plain sight, a queue that cannot go on is not. */
function delayOf(policy: RetryPolicy, attempts: number, chance: number): number | undefined {
  try {
    const delayMs = policy.delayMs(attempts, chance)
    return delayMs !== undefined && Number.isFinite(delayMs) && delayMs >= 0 ? delayMs : undefined
  } catch {
    return undefined
  }
}

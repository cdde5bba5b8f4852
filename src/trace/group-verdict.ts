import type { DependencySight } from '../core/dependencies.ts'
import type { DispositionFacts, SuppressedFacts } from '../core/facts.ts'
import { cursorEvidence, leaseEvidence } from './origin-verdict.ts'
import { type Copy, groupsOn, isServed, readerOf } from './places.ts'
import { countOf, duplicatesOf, timeOf } from './reasons.ts'
import type { Filling, VerdictCode } from './sentences.ts'
import { type Evidence, type Verdict, verdict } from './verdict.ts'

/**
 * What became of it in the groups of one database.
 * @param suppressed all copies that were suppressed on its way, in whatever database
 */
export function atGroups(copy: Copy, suppressed: readonly SuppressedFacts[]): readonly Verdict[] {
  const { facts, message } = copy
  const written = message.groups
    .filter(({ group }) => !group.startsWith('@') || (group === '@land' && message.groups.length > 0))
    .map((disposition) => ofGroup(copy, disposition, suppressed))
  if (message.place !== 'log') return written
  const silent = groupsOn(facts, message.topic)
    .filter(({ name }) => !message.groups.some(({ group }) => group === name))
    .map(({ name }) => withoutDisposition(copy, name))
  return [...written, ...silent]
}

type Say = (code: VerdictCode, filling?: Filling, evidence?: readonly Evidence[]) => Verdict

function ofGroup(copy: Copy, fact: DispositionFacts, suppressed: readonly SuppressedFacts[]): Verdict {
  const { database, message } = copy
  const { group, state } = fact
  const own: Evidence[] =
    state === 'waiting' ? [] : [{ database, from: 'waybill_dispositions', fact: describe(fact) }]
  const hasArrived = state === 'done' || state === 'discarded' || state === 'filtered'
  const say: Say = (code, filling = {}, evidence = []) =>
    verdict({
      code,
      stoppedAt: hasArrived ? null : 'handled',
      id: message.id,
      group,
      filling,
      evidence: [...own, ...evidence],
    })
  const reason = fact.because ?? '-'
  const at = timeOf(fact.at)
  switch (state) {
    case 'done': {
      const rows = suppressed.map((one): Evidence => ({
        database,
        from: 'waybill_suppressed',
        fact: `${one.cause} at ${timeOf(one.at)}`,
      }))
      return say('done', { at, duplicates: duplicatesOf(suppressed) }, rows)
    }
    case 'discarded':
      return say('discarded', { at, reason })
    case 'filtered':
      return say('filtered', { reason })
    case 'dead':
      return deadVerdict(say, fact, database)
    default:
      return openVerdict(say, copy, fact)
  }
}

function deadVerdict(say: Say, fact: DispositionFacts, database: string): Verdict {
  const { group, cause, attempts } = fact
  const reason = fact.because ?? '-'
  if (group === '@land') return say('id-collision', { database, reason })
  if (cause === 'receipt.older-than-horizon') return say('older-than-receipts')
  return say('handler-dead', { at: timeOf(fact.at), attempts, cause: cause ?? '-', reason })
}

/** What keeps it from being handled, the outermost first: a group that nobody runs gets nothing, whatever else is the matter. */
function openVerdict(say: Say, copy: Copy, fact: DispositionFacts): Verdict {
  const { database, facts, message } = copy
  const { group, state } = fact
  const paused = facts.groups.find(({ name }) => name === group)?.paused
  if (paused) {
    const row: Evidence = { database, from: 'waybill_pauses', fact: `${paused.by}: ${paused.because}` }
    return say('group-paused', { by: paused.by, at: timeOf(paused.at), reason: paused.because }, [row])
  }
  const reader = readerOf(copy, group)
  const place = reader
    ? [cursorEvidence(copy, reader), leaseEvidence(copy, reader)]
    : [leaseEvidence(copy, reader, group)]
  const waiting = countOf(reader?.waiting ?? 0)
  if (state === 'held') return heldVerdict(say, fact)
  if (!isServed(reader, facts.now)) return say('group-without-consumer', { waiting }, place)
  if (state === 'running') return say('running-alone', { at: timeOf(fact.at) }, place)
  const dependency = dependencyVerdict(say, copy, fact)
  if (dependency) return dependency
  if (state === 'retrying' && fact.cause !== null) {
    const filling = { attempts: fact.attempts, due: timeOf(fact.dueAt), reason: fact.because ?? fact.cause }
    return say('handler-failing', filling, place)
  }
  return say('waiting', { owner: reader.owner, waiting, topic: message.topic }, place)
}

function heldVerdict(say: Say, { behind, because }: DispositionFacts): Verdict {
  const head = behind?.id ?? '-'
  const reason = behind ? `${head} (${behind.state})` : (because ?? '-')
  return say('group-held', { head, reason })
}

/** Its last failure was charged to a dependency, or a live instance of the group says that one is down. */
function dependencyVerdict(say: Say, copy: Copy, fact: DispositionFacts): Verdict | undefined {
  const { database, facts } = copy
  const live = facts.dependencies.filter(
    ({ until, groups }) => until > facts.now && groups.includes(fact.group),
  )
  const down = live.filter(({ state }) => state !== 'closed')
  const ofCharged = ({ name }: DependencySight): boolean => name === fact.dependency
  const sight = down.find(ofCharged) ?? down[0]
  const isCharged = fact.state === 'retrying' && fact.cause === 'dependency.down'
  if (!isCharged && (!sight || fact.cause !== null)) return undefined
  const up = isCharged && !down.some(ofCharged) ? live.find(ofCharged) : undefined
  const rowOf = (row: DependencySight): Evidence => ({
    database,
    from: 'waybill_dependencies',
    fact: describeSight(row),
  })
  if (up && !sight) {
    const filling = { dependency: up.name, due: timeOf(fact.dueAt), reason: fact.because ?? '-' }
    return say('dependency-failed', filling, [rowOf(up)])
  }
  // One that is up by now is not what it waits for.
  const because = up ? undefined : fact.because
  const dependency = (isCharged && !up ? fact.dependency : null) ?? sight?.name ?? '-'
  const reason = because ?? sight?.because ?? '-'
  return say('dependency-down', { dependency, reason }, sight ? [rowOf(sight)] : [])
}

function describeSight({ name, state, since, owner }: DependencySight): string {
  return `${name} is ${state} since ${timeOf(since)}, says ${owner}`
}

/** Its cursor is past it and no row is left: it began later, or the receipt has outlived its retention. */
function withoutDisposition(copy: Copy, group: string): Verdict {
  const { message } = copy
  const reader = readerOf(copy, group)
  const parts = { id: message.id, group, evidence: reader ? [cursorEvidence(copy, reader)] : [] }
  if (reader && reader.start >= message.position)
    return verdict({ ...parts, code: 'before-group-start', stoppedAt: null })
  const reason = {
    en: `group ${group} has passed it, and no receipt of it is left`,
    zh: `消费组 ${group} 已越过它，但没有留下回执`,
  }
  return verdict({
    ...parts,
    code: 'no-data',
    stoppedAt: 'handled',
    filling: { asked: message.id, reason },
  })
}

function describe({ group, state, attempts, generation, cause, at }: DispositionFacts): string {
  const parts = [
    `${group} ${state} at ${timeOf(at)}`,
    attempts > 0 ? `${attempts} failed` : '',
    generation > 0 ? `redriven ${generation} times` : '',
    cause ?? '',
  ]
  return parts.filter((part) => part !== '').join(', ')
}

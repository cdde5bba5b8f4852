import type { SuppressedFacts } from '../core/facts.ts'
import { waitingCountMax } from '../core/facts.ts'
import type { Both } from './sentences.ts'

/** Pieces of sentences that are chosen by the facts. */
const deciders: Readonly<Record<string, Both>> = {
  producer: { en: 'the producer', zh: '发布方' },
  'check-back': { en: 'a check-back', zh: '回查' },
  person: { en: 'a person', zh: '人工' },
  policy: { en: 'the policy of its topic', zh: '主题策略' },
}

const suppressions: Readonly<Record<string, Both>> = {
  'published-again': { en: 'published again with its dedup key', zh: '以相同去重键重复发布' },
  'received-again': { en: 'received again from the transport', zh: '从传输重复收到' },
  'sent-again': { en: 'sent again by the relay', zh: '投递进程重复发送' },
}

export function deciderOf(by: string | null): Both {
  return deciders[by ?? ''] ?? { en: by ?? '-', zh: by ?? '-' }
}

/** How many copies were suppressed, and why. */
export function duplicatesOf(suppressed: readonly SuppressedFacts[]): Both {
  if (suppressed.length === 0) return { en: 'no duplicate came', zh: '没有重复' }
  const counts = new Map<string, number>()
  for (const { cause } of suppressed) counts.set(cause, (counts.get(cause) ?? 0) + 1)
  const why = (language: keyof Both): string =>
    [...counts]
      .map(([cause, count]) => `${count} × ${(suppressions[cause] ?? { en: cause, zh: cause })[language]}`)
      .join(language === 'en' ? ', ' : '，')
  return {
    en: `${suppressed.length} ${suppressed.length === 1 ? 'duplicate was' : 'duplicates were'} suppressed (${why('en')})`,
    zh: `已抑制 ${suppressed.length} 个重复（${why('zh')}）`,
  }
}

/** Backlogs are counted up to a limit. */
export function countOf(waiting: number): string {
  return waiting >= waitingCountMax ? `${waitingCountMax}+` : String(waiting)
}

export function timeOf(at: number | null): string {
  return at === null ? '-' : new Date(at).toISOString()
}

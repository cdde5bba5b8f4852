import type { Stage } from './stage.ts'

export interface Books {
  /** Orders that were committed. */
  readonly committed: number
  readonly once: number
  readonly lost: number
  readonly duplicate: number
  /** Effects of orders that were never committed. */
  readonly phantom: number
  /** Accounts whose effects came in another order than their orders; counted for ordered groups. */
  readonly misordered: number
}

/** What one group made of the orders, counted in a table without unique keys. */
export function books(stage: Stage, service: string, group: string): Books {
  const placed = stage.rows('order', 'select n, account from orders order by rowid')
  const effects = stage.rows(service, 'select n, account from effects where grp = ? order by rowid', group)
  const times = new Map<unknown, number>()
  for (const { n } of effects) times.set(n, (times.get(n) ?? 0) + 1)
  const known = new Set(placed.map(({ n }) => n))
  const counts = placed.map(({ n }) => times.get(n) ?? 0)
  return {
    committed: placed.length,
    once: counts.filter((count) => count === 1).length,
    lost: counts.filter((count) => count === 0).length,
    duplicate: counts.filter((count) => count > 1).length,
    phantom: effects.filter(({ n }) => !known.has(n)).length,
    misordered: misordered(placed, effects),
  }
}

/** What the books must say: every committed order once. `misordered` is left out where a group promises no order. */
export function allOnce(committed: number, ordered: boolean): Partial<Books> {
  return {
    committed,
    once: committed,
    lost: 0,
    duplicate: 0,
    phantom: 0,
    ...(ordered ? { misordered: 0 } : {}),
  }
}

/** The numbers of an account's orders in the order in which they took effect in the group `ledger` of the service `coupon`. */
export function sequence(stage: Stage, account: number): readonly unknown[] {
  return stage
    .rows(
      'coupon',
      "select n from effects where grp = 'ledger' and account = ? order by rowid",
      `account-${account}`,
    )
    .map(({ n }) => n)
}

function misordered(
  placed: readonly Readonly<Record<string, unknown>>[],
  effects: readonly Readonly<Record<string, unknown>>[],
): number {
  const sequences = (rows: readonly Readonly<Record<string, unknown>>[]): Map<unknown, unknown[]> => {
    const byAccount = new Map<unknown, unknown[]>()
    for (const { n, account } of rows) byAccount.set(account, [...(byAccount.get(account) ?? []), n])
    return byAccount
  }
  const wanted = sequences(placed)
  return [...sequences(effects)].filter(([account, numbers]) => {
    const order = (wanted.get(account) ?? []).filter((n) => numbers.includes(n))
    return numbers.some((n, i) => n !== order[i])
  }).length
}

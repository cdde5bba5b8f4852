/**
 * One promise, as any test runner can take it:
 *
 *   for (const { name, run, skip } of storeSuite(factory, claims)) skip ? test.skip(`${name} (${skip})`) : test(name, run)
 */
export interface ConformanceTest {
  /** A sentence; begins with the protocol's rule where there is one. */
  readonly name: string
  run(): Promise<void>
  /** Why the subject is not held to it: a capability that it does not claim. */
  readonly skip?: string
}

/** A promise as the suites write it down: what it runs on is made anew for each. */
export interface Promised<Bench, Claims> {
  readonly name: string
  /** Answers what is missing where the subject does not claim enough. */
  readonly missing?: (claims: Claims) => string | undefined
  run(bench: Bench): Promise<void>
}

/** Binds promises to a subject: `using` makes a bench, hands it over, and clears it away whatever happens. */
export function suiteOf<Bench, Claims>(
  promises: readonly Promised<Bench, Claims>[],
  claims: Claims,
  using: (work: (bench: Bench) => Promise<void>) => Promise<void>,
): readonly ConformanceTest[] {
  return promises.map(({ name, missing, run }) => {
    const skip = missing?.(claims)
    const bound = { name, run: () => using(run) }
    return skip === undefined ? bound : { ...bound, skip: `not claimed: ${skip}` }
  })
}

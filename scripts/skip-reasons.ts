import type { Reporter } from 'vitest/node'

const form = /^tests are skipped, .+$/gm

/** A reporter that says at the end, once, why tests were skipped: each file that needs a missing server printed it far above. */
export default class SkipReasons implements Reporter {
  readonly #reasons = new Set<string>()

  onUserConsoleLog({ content }: { readonly content: string }): void {
    for (const [reason] of content.matchAll(form)) this.#reasons.add(reason)
  }

  onTestRunEnd(): void {
    for (const reason of this.#reasons) console.log(reason)
  }
}

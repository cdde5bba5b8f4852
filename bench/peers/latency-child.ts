import { answerParent } from '../harness/child.ts'
import { using } from './contest.ts'
import { contestants } from './contestants.ts'
import { type Pace, type Publishing, publishSteadily } from './steady-publisher.ts'

/** The publisher of a latency measurement, in a process of its own. */
await answerParent(async ({ url, name, pace }: Publishing & { readonly pace: Pace }) => {
  const peer = contestants.find((one) => one.name === name)!
  return using(peer, url, 'latency', (opened) => publishSteadily(url, pace, opened))
})

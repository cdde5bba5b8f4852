import type { ConformanceTest } from './conformance-test.ts'
import { suiteOf } from './conformance-test.ts'
import { TransportBench } from './transport-bench.ts'
import type { TransportClaims, TransportSubject } from './transport-subject.ts'
import { landing } from './transport-suite/landing.ts'
import { lifetime } from './transport-suite/lifetime.ts'
import { order } from './transport-suite/order.ts'
import { sending } from './transport-suite/sending.ts'
import { sharing } from './transport-suite/sharing.ts'
import { subscribing } from './transport-suite/subscribing.ts'

/** What a transport promises (core/transport.ts), each promise on a subject of its own. */
export function transportSuite(
  make: () => TransportSubject | Promise<TransportSubject>,
  claims: TransportClaims,
): readonly ConformanceTest[] {
  const promises = [...sending, ...landing, ...order, ...subscribing, ...sharing, ...lifetime]
  return suiteOf(promises, claims, async (work) => TransportBench.use(await make(), claims, work))
}

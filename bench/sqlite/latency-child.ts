import { answerParent } from '../harness/child.ts'
import { newWaybill, userHandle } from './messages.ts'
import { ownHandle, type Pace, publishSteadily } from './steady-publisher.ts'

await answerParent(async ({ path, pace }: { path: string; pace: Pace }) => {
  const waybill = newWaybill(path)
  const database = userHandle(path)
  const committed = await publishSteadily(pace, ownHandle(waybill, database))
  database.close()
  await waybill.stop()
  return committed
})

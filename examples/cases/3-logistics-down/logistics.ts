/**
 * The logistics company: somebody else's service, which is up or down as it likes. It ships once per idempotency key, answers a
 * repeated call like the first, and writes down every call with its time.
 */

import { join } from 'node:path'
import { serviceArguments } from '../../shop/shared/arguments.ts'
import { serveJson } from '../../shop/shared/http.ts'
import { reportReady, stopWhenAsked } from '../../shop/shared/process.ts'
import { openDatabase } from '../../shop/shared/tables.ts'
import type { Shipment } from './carrier.ts'

const { folder, port } = serviceArguments()
const database = openDatabase(join(folder, 'logistics.db'))
database.exec(`create table if not exists calls (order_id text not null, at_ms integer not null);
  create table if not exists shipments (number integer primary key, order_id text not null, customer text not null,
    idempotency_key text not null unique)`)

const insertCall = database.prepare('insert into calls values (?, ?)')
const insertShipment = database.prepare(
  'insert into shipments (order_id, customer, idempotency_key) values (?, ?, ?) on conflict do nothing',
)

function ship({ orderId, customer, idempotencyKey }: Shipment): void {
  insertCall.run(orderId, Date.now())
  insertShipment.run(orderId, customer, idempotencyKey)
}

const server = await serveJson(port, {
  'GET /health': () => ({ ok: true }),
  'POST /shipments': (body) => ship(body as Shipment),
})
stopWhenAsked(async () => {
  await server.close()
  database.close()
})
reportReady()

import { seededRandom } from './random.ts'
import { ShopError } from './shop-error.ts'

export interface Order {
  readonly id: string
  readonly userId: string
  readonly amount: number
  /** The order service finds out after publishing that it has to roll back, such as a frozen account. */
  readonly rollback: boolean
}

const rollbackShare = 0.1
const ordersPerUser = 4
/** The longest key that Waybill takes; the order's id becomes the message's key. */
const idBytesMax = 255

/** Exactly a tenth rolls back, and at least one, so that small runs show the case as well. */
export function generateOrders(count: number, seed: number): Order[] {
  const random = seededRandom(seed)
  const rollbacks = Math.max(1, Math.round(count * rollbackShare))
  const numbers = Array.from({ length: count }, (_, index) => index + 1)
  const rolledBack = new Set(random.shuffle(numbers).slice(0, rollbacks))
  const users = Math.max(1, Math.ceil(count / ordersPerUser))
  return numbers.map((number) => ({
    id: `order-${String(number).padStart(6, '0')}`,
    userId: `user-${String(random.between(1, users)).padStart(5, '0')}`,
    amount: random.between(100, 99_999) / 100,
    rollback: rolledBack.has(number),
  }))
}

/** Reads JSON lines {"id","userId","amount","rollback?"}. The first line that is wrong is refused, with its number. */
export function parseOrders(text: string): Order[] {
  const firstLineOf = new Map<string, number>()
  const orders: Order[] = []
  for (const [index, line] of text.split('\n').entries()) {
    if (line.trim() === '') continue
    const order = parseOrder(line, index + 1)
    const first = firstLineOf.get(order.id)
    if (first !== undefined) {
      refuse('input.id-repeated', index + 1, `"${order.id}" is on line ${first} already`)
    }
    firstLineOf.set(order.id, index + 1)
    orders.push(order)
  }
  if (orders.length === 0) throw new ShopError('input.empty', 'the input has no orders')
  return orders
}

export function formatOrders(orders: readonly Order[]): string {
  return orders.map((order) => `${JSON.stringify(order)}\n`).join('')
}

function parseOrder(line: string, lineNumber: number): Order {
  const fields = parseObject(line, lineNumber)
  const known = ['id', 'userId', 'amount', 'rollback']
  const unknown = Object.keys(fields).find((field) => !known.includes(field))
  // A misspelt "rollback" would otherwise be an order that commits, and the run would look better than it is.
  if (unknown !== undefined)
    refuse('input.field-unknown', lineNumber, `"${unknown}" is not one of ${known.join(', ')}`)
  const id = parseId(fields, 'id', lineNumber)
  const userId = parseId(fields, 'userId', lineNumber)
  const { amount, rollback = false } = fields
  if (typeof amount !== 'number' || !Number.isFinite(amount) || amount < 0) {
    refuse('input.amount-invalid', lineNumber, '"amount" must be a number of at least 0')
  }
  if (typeof rollback !== 'boolean')
    refuse('input.rollback-invalid', lineNumber, '"rollback" must be true or false')
  return { id, userId, amount, rollback }
}

function parseObject(line: string, lineNumber: number): Record<string, unknown> {
  let value: unknown
  try {
    value = JSON.parse(line)
  } catch (cause) {
    refuse('input.not-json', lineNumber, `not JSON: ${line.slice(0, 60)}`, cause)
  }
  if (typeof value !== 'object' || value === null || Array.isArray(value)) {
    refuse('input.not-object', lineNumber, 'each line must be one JSON object')
  }
  return value as Record<string, unknown>
}

function parseId(fields: Record<string, unknown>, field: 'id' | 'userId', lineNumber: number): string {
  const value = fields[field]
  if (typeof value !== 'string' || value === '' || Buffer.byteLength(value) > idBytesMax) {
    const code = field === 'id' ? 'input.id-invalid' : 'input.user-invalid'
    refuse(code, lineNumber, `"${field}" must be a string of 1 to ${idBytesMax} bytes`)
  }
  return value
}

function refuse(code: string, lineNumber: number, problem: string, cause?: unknown): never {
  throw new ShopError(code, `line ${lineNumber}: ${problem}`, { cause })
}

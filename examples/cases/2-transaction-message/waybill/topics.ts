import { topic } from 'waybill'
import { type OrderPaidBody, orderPaid } from '../../../shop/shared/order-paid.ts'

/** Checked back within seconds instead of the default's minutes, so that the case does not take longer. */
const checked = { firstCheck: '300ms', checkEvery: '300ms', checkTimeout: '2s' } as const

export const OrderPaid = topic<OrderPaidBody>(orderPaid, undefined, { half: checked })
export const OrderConfirmed = topic<OrderPaidBody>('order.confirmed', undefined, {
  half: { ...checked, expireAfter: '4s' },
})

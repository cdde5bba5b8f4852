import { topic } from 'waybill'
import { orderPaid, type OrderPaidBody } from '../shared/order-paid.ts'

export const OrderPaid = topic<OrderPaidBody>(orderPaid)

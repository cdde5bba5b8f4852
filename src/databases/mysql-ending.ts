import { Guard } from '../stores/mysql/control.ts'

/** After the work: lets through only the COMMIT or ROLLBACK of the tool itself. */
export class EndingGuard extends Guard {
  override isOver = true

  constructor() {
    super(() => true)
  }

  override check(sql: string): void {
    if (!/^(?:commit|rollback);?$/i.test(sql.trim())) super.check(sql)
  }
}

/** A file whose source is gone must not stay in dist/, where it would be packed and imported. */
import { rmSync } from 'node:fs'

rmSync('dist', { recursive: true, force: true })

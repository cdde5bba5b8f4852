import { fork } from 'node:child_process'
import { fileURLToPath } from 'node:url'

/**
 * Runs a file of this folder as a process of its own, on one argument, and answers what it sends with `answerParent`.
 * @throws Error if it ends without an answer
 */
export async function runChild<Argument, Answer>(file: URL, argument: Argument): Promise<Answer> {
  const child = fork(fileURLToPath(file), [JSON.stringify(argument)], {
    stdio: ['ignore', 'ignore', 'inherit', 'ipc'],
    serialization: 'advanced',
  })
  return await new Promise<Answer>((resolve, reject) => {
    child.once('message', (answer) => resolve(answer as Answer))
    child.once('error', reject)
    child.once('exit', (code, signal) =>
      reject(new Error(`a child process ended without an answer (${signal ?? `status ${code}`})`)),
    )
  })
}

/** In the child: works on the argument, sends the answer and ends. Ends too when the parent is gone. */
export async function answerParent<Argument, Answer>(
  work: (argument: Argument) => Promise<Answer>,
): Promise<void> {
  process.once('disconnect', () => process.exit(1))
  const answer = await work(JSON.parse(process.argv[2]!) as Argument)
  await new Promise<void>((sent) => process.send!(answer, () => sent()))
  process.exit(0)
}

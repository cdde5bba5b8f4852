/** One text in both languages of the command line, the console and the documents. */
export interface Both {
  readonly en: string
  readonly zh: string
}

interface Words {
  readonly sentence: Both
  readonly next: Both
}

const both = (en: string, zh: string): Both => ({ en, zh })
const nothing = both('Nothing to do.', '无需处理。')
const askAgain = both('Wait a moment and ask again.', '请稍候再查。')

/** Every verdict with its sentence and the next step. `{name}` is filled in from the facts. Codes are stable. */
export const sentences = {
  'never-published': {
    sentence: both('Nothing was ever published for {asked}.', '从未有消息以 {asked} 发布。'),
    next: both(
      'Look at the publishing service: did its transaction commit, and does that path publish at all?',
      '请检查发布方：事务是否已提交，该路径是否确实发布了消息。',
    ),
  },
  'no-data-before': {
    sentence: both(
      'Nothing is known of {asked}: not within what is kept, and there is no data before {date}.',
      '没有 {asked} 的任何记录：保留期内没有，{date} 之前没有数据。',
    ),
    next: both('If it is older than that, ask a backup.', '如果消息早于该时间，请查询备份。'),
  },
  'no-data': {
    sentence: both(
      'How far {asked} got cannot be told: {reason}.',
      '无法判断 {asked} 到了哪一步：{reason}。',
    ),
    next: both('Make that database reachable, name it, and ask again.', '请恢复并指定该数据库，然后再查。'),
  },
  'rolled-back': {
    sentence: both(
      'The half message was rolled back by {by} at {at}: it will never be delivered ({reason}).',
      '半消息已由{by}于 {at} 回滚，不会再投递（{reason}）。',
    ),
    next: nothing,
  },
  expired: {
    sentence: both(
      'The half message was still undecided when its time was up, and was rolled back at {at} ({reason}).',
      '半消息到期仍未决定，已于 {at} 回滚（{reason}）。',
    ),
    next: nothing,
  },
  cancelled: {
    sentence: both(
      'The delayed message was cancelled at {at}, before it was due: {reason}.',
      '延时消息在到期之前已于 {at} 取消：{reason}。',
    ),
    next: nothing,
  },
  'half-undecided': {
    sentence: both(
      'It is a half message that is not decided yet: {checks} check-backs were answered with unknown, {failures} failed; the next one is due at {due}.',
      '这是一条尚未决定的半消息：{checks} 次回查答复未知，{failures} 次回查失败；下次回查时间为 {due}。',
    ),
    next: both(
      'Wait for the check-back. If its time has passed, no instance of {service} answers check-backs: start one.',
      '请等待回查。若时间已过，说明 {service} 没有实例应答回查，请启动一个。',
    ),
  },
  'in-doubt': {
    sentence: both(
      'It is a half message in doubt: {checks} check-backs were answered with unknown, {failures} failed, and no more will be made ({reason}).',
      '这是一条存疑的半消息：{checks} 次回查答复未知，{failures} 次回查失败，不会再回查（{reason}）。',
    ),
    next: both(
      'Find out what became of the business change, then: waybill half commit {id}, or waybill half rollback {id}.',
      '请先查明业务结果，然后执行 waybill half commit {id} 或 waybill half rollback {id}。',
    ),
  },
  delayed: {
    sentence: both(
      'It is a delayed message and becomes due at {due}.',
      '这是一条延时消息，将于 {due} 到期投递。',
    ),
    next: nothing,
  },
  'due-not-moved': {
    sentence: both(
      'It was due at {due}, but no instance of {service} is running that would put it into the log.',
      '消息已于 {due} 到期，但没有正在运行的 {service} 实例将它移入消息日志。',
    ),
    next: both('Start an instance of {service} with relay on.', '请启动一个 {service} 实例并打开投递。'),
  },
  'in-transit': {
    sentence: both('It is on its way: {reason}.', '消息正在途中：{reason}。'),
    next: askAgain,
  },
  'relay-not-running': {
    sentence: both(
      'It is committed and not sent: no relay of {service} is running; {waiting} messages of its queue wait.',
      '消息已提交，尚未发出：{service} 没有正在运行的投递进程；该队列有 {waiting} 条消息在等待。',
    ),
    next: both('Start an instance of {service} with relay on.', '请启动一个 {service} 实例并打开投递。'),
  },
  'transport-refusing': {
    sentence: both(
      'It is committed and not sent: the relay {owner} runs, but the transport takes nothing; {waiting} messages of its queue wait.',
      '消息已提交，尚未发出：投递进程 {owner} 正在运行，但传输不接收；该队列有 {waiting} 条消息在等待。',
    ),
    next: both(
      'Look at the transport, and at the log of {service}, which says what it answers. It is sent as soon as that works.',
      '请检查传输，并在 {service} 的日志中查看其答复。恢复后会自动发出。',
    ),
  },
  'transport-refused': {
    sentence: both('The transport refused it for good: {reason}.', '传输已明确拒收该消息：{reason}。'),
    next: both(
      'Mend the cause, then: waybill dead redrive --group @relay --id {id} --because …',
      '排除原因后执行：waybill dead redrive --group @relay --id {id} --because …',
    ),
  },
  'sent-not-landed': {
    sentence: both(
      'It was sent at {at} and has not landed for group {group}: {reason}.',
      '消息已于 {at} 发出，但尚未为消费组 {group} 落地：{reason}。',
    ),
    next: both(
      'Is an instance of the consuming service running, and does it reach the transport?',
      '请确认消费方的实例正在运行，并且能够访问传输。',
    ),
  },
  lost: {
    sentence: both('It was sent at {at} and is gone: {reason}.', '消息已于 {at} 发出，但已丢失：{reason}。'),
    next: both(
      'Find out what deleted it: waybill ledger names everything that is missing. The publisher still has it: publish it again.',
      '请查明删除原因：waybill ledger 会列出全部缺失的消息。发布方仍有该消息，可重新发布。',
    ),
  },
  'no-such-group': {
    sentence: both(
      'No group {group} takes messages of {topic}; these do: {groups}.',
      '没有名为 {group} 的消费组处理主题 {topic} 的消息；现有消费组：{groups}。',
    ),
    next: both(
      'Check the name, whether the group subscribes to the topic, and whether its service has ever started.',
      '请检查名称、该消费组是否订阅了此主题，以及其服务是否启动过。',
    ),
  },
  'before-group-start': {
    sentence: both(
      'Group {group} began after this message, and does not take it.',
      '消费组 {group} 从该消息之后开始消费，不处理它。',
    ),
    next: nothing,
  },
  'group-without-consumer': {
    sentence: both(
      'Group {group} has no live consumer; {waiting} messages of its queue wait.',
      '消费组 {group} 没有存活的消费者；该队列有 {waiting} 条消息在等待。',
    ),
    next: both(
      'Start an instance of the service that consumes as {group}.',
      '请启动以 {group} 消费的服务实例。',
    ),
  },
  'group-paused': {
    sentence: both(
      'Group {group} was paused by {by} at {at}: {reason}.',
      '消费组 {group} 已于 {at} 被 {by} 暂停：{reason}。',
    ),
    next: both(
      'When the reason is gone: waybill groups resume {group} --because …',
      '原因消除后执行：waybill groups resume {group} --because …',
    ),
  },
  'group-held': {
    sentence: both(
      'In group {group} it is held behind an earlier message of its sharding key: {reason}.',
      '在消费组 {group} 中，它被同一分区键的前一条消息挂起：{reason}。',
    ),
    next: both(
      'Trace the earlier one: waybill trace {head}. If it is dead, redrive or discard it.',
      '请查询前一条消息：waybill trace {head}。若为死信，请重投或放弃。',
    ),
  },
  'dependency-down': {
    sentence: both(
      'Group {group} waits for {dependency}, which is down: {reason}.',
      '消费组 {group} 在等待依赖 {dependency}，它目前不可用：{reason}。',
    ),
    next: both(
      'Nothing: it is delivered when {dependency} is healthy again, and not charged for the wait.',
      '无需处理：{dependency} 恢复后会自动投递，等待不计为失败。',
    ),
  },
  'dependency-failed': {
    sentence: both(
      'In group {group} it failed by {dependency}, which is up, and is tried again at {due}, not charged: {reason}.',
      '在消费组 {group} 中，它因依赖 {dependency} 失败，但该依赖可用；将于 {due} 重试，不计为失败：{reason}。',
    ),
    next: both(
      'Look at the error: if {dependency} refuses this one message and takes others, it will be charged, and die after its retries.',
      '请查看错误：若 {dependency} 只拒绝这一条消息而接受其他消息，它会被计为失败，重试用尽后成为死信。',
    ),
  },
  'handler-failing': {
    sentence: both(
      'The handler of {group} has failed {attempts} times and tries again at {due}; the last time: {reason}.',
      '消费组 {group} 的处理函数已失败 {attempts} 次，将于 {due} 重试；最近一次：{reason}。',
    ),
    next: both(
      'Look at the error: it may need a fix before the retries are used up.',
      '请查看错误，在重试用尽之前修复。',
    ),
  },
  'handler-dead': {
    sentence: both(
      'It is a dead letter of {group} since {at}, after {attempts} deliveries: {cause}, {reason}.',
      '它自 {at} 起是消费组 {group} 的死信，共投递 {attempts} 次：{cause}，{reason}。',
    ),
    next: both(
      'Mend the cause, then: waybill dead redrive --group {group} --id {id} --because …; or waybill dead discard.',
      '排除原因后执行：waybill dead redrive --group {group} --id {id} --because …；或用 waybill dead discard 放弃。',
    ),
  },
  'older-than-receipts': {
    sentence: both(
      'Group {group} did not run it: it is older than receipts are kept, so whether it took effect before cannot be told.',
      '消费组 {group} 没有执行它：它早于回执的保留期，无法判断之前是否已生效。',
    ),
    next: both(
      'Look in the business data whether its effect is there, then: waybill dead discard, or waybill dead redrive --group {group} --id {id}.',
      '请在业务数据中确认是否已生效，然后执行 waybill dead discard，或 waybill dead redrive --group {group} --id {id}。',
    ),
  },
  'id-collision': {
    sentence: both(
      'A message with this id and another body came to {database}, and was parked as a dead letter: {reason}.',
      '{database} 收到一条编号相同但内容不同的消息，已作为死信搁置：{reason}。',
    ),
    next: both(
      'Find out which service gave one id to two messages; then: waybill dead discard --group @land --id {id} --because …',
      '请查明是哪个服务让两条消息用了同一编号，然后执行：waybill dead discard --group @land --id {id} --because …',
    ),
  },
  'running-alone': {
    sentence: both(
      'Group {group} runs it alone since {at}: a process may have died of it.',
      '消费组 {group} 自 {at} 起单独执行它：可能有进程因它崩溃。',
    ),
    next: askAgain,
  },
  waiting: {
    sentence: both(
      'It waits its turn in group {group}, which {owner} reads; {waiting} messages of its queue wait.',
      '它在消费组 {group} 中排队，由 {owner} 读取；该队列有 {waiting} 条消息在等待。',
    ),
    next: askAgain,
  },
  filtered: {
    sentence: both('Group {group} leaves it out: {reason}.', '消费组 {group} 按过滤条件不处理它：{reason}。'),
    next: nothing,
  },
  discarded: {
    sentence: both(
      '{group} gave it up on purpose at {at}: {reason}.',
      '{group} 已于 {at} 主动放弃它：{reason}。',
    ),
    next: nothing,
  },
  done: {
    sentence: both(
      'Its effect in group {group} was committed at {at}, once; {duplicates}.',
      '它在消费组 {group} 中的业务效果已于 {at} 提交，仅一次；{duplicates}。',
    ),
    next: nothing,
  },
} as const satisfies Readonly<Record<string, Words>>

export type VerdictCode = keyof typeof sentences
export const verdictCodes = Object.keys(sentences) as readonly VerdictCode[]

/** What is put in: text that is the same in both languages, or a pair. */
export type Filling = Readonly<Record<string, string | number | Both>>

/** A name that nothing is given for stays to be seen, and a test finds it. */
export function fill(words: Both, filling: Filling): Both {
  const put = (language: keyof Both): string =>
    words[language].replaceAll(/\{(\w+)\}/g, (placeholder, name: string) => {
      const value = filling[name] ?? placeholder
      return typeof value === 'object' ? value[language] : String(value)
    })
  return { en: put('en'), zh: put('zh') }
}

/**
 * What somebody said, without what syslog writes before it: RFC 3164 as nginx writes it
 * (`<190>Nov 21 13:55:01 web-1 nginx: MESSAGE`, also `nohostname`) and RFC 5424. What begins like neither is the message.
 */
export function syslogMessage(datagram: Buffer): Buffer {
  // All of the head is ASCII; so far no head is longer.
  const head = datagram.toString('latin1', 0, HEAD_BYTES_MAX)
  const found = RFC5424.exec(head) ?? RFC3164.exec(head) ?? PRIORITY.exec(head)
  const message = found === null ? datagram : datagram.subarray(found[0].length)
  let end = message.length
  while (end > 0 && (message[end - 1] === NEWLINE || message[end - 1] === 0 || message[end - 1] === RETURN)) end--
  return message.subarray(0, end)
}

const HEAD_BYTES_MAX = 4_096
const NEWLINE = 10
const RETURN = 13
const PRIORITY = /^<\d{1,3}>/
const RFC3164 = /^<\d{1,3}>[A-Z][a-z]{2} [ \d]\d \d\d:\d\d:\d\d (?:[^\s:[\]]+ )?[\w./-]{1,64}(?:\[\d{1,10}\])?: ?/
/** Version, time, host, application, process, message id, structured data; perhaps a byte order mark. */
const RFC5424 =
  /^<\d{1,3}>1 \S+ \S+ \S+ \S+ \S+ (?:-|(?:\[(?:[^\]"\\]|\\.|"(?:[^"\\]|\\.)*")*\])+)(?: (?:\xef\xbb\xbf)?|$)/

package gcode

import (
	"strconv"
	"time"
)

// frame appends line number, command, check and line feed.
func (l *Link) frame(dst []byte, number int32, cmd []byte) []byte {
	start := len(dst)
	// What stands before and behind the digits changes the check and nothing else.
	for _, around := range [...][2]string{{"N", ""}, {"N", " "}, {"N0", ""}, {"N0", " "}} {
		dst = append(dst[:start], around[0]...)
		dst = strconv.AppendInt(dst, int64(number), 10)
		dst = append(dst, around[1]...)
		dst = append(dst, cmd...)
		if !l.cfg.Loose || !misread(dst[start:]) {
			break
		}
	}
	if l.cfg.Check == CheckCRC16 {
		return appendCRC(dst, start)
	}
	sum := byte(0)
	for _, b := range dst[start:] {
		sum ^= b
	}
	return append(strconv.AppendUint(append(dst, '*'), uint64(sum), 10), '\n')
}

// misread reports whether one flipped bit makes another good line of text for firmware
// that takes a line up to its first asterisk: a point becomes an asterisk, and the
// digits behind it happen to be the check of what stands before it.
func misread(text []byte) bool {
	sum := byte(0)
	for i, b := range text {
		if b == '.' {
			if v, n := digits(text[i+1:]); n == 0 && sum == 0 || n > 0 && v == int32(sum) {
				return true
			}
		}
		sum ^= b
	}
	return false
}

// appendCRC appends the CRC-16 of what follows start, as five digits, and a line feed.
func appendCRC(dst []byte, start int) []byte {
	crc := uint16(0)
	for _, b := range dst[start:] {
		crc ^= uint16(b)
		for range 8 {
			low := crc & 1
			crc >>= 1
			crc ^= low * 0xa001
		}
	}
	dst = append(dst, '*')
	for div := uint16(10_000); div > 0; div /= 10 {
		dst = append(dst, byte('0'+crc/div%10))
	}
	return append(dst, '\n')
}

// AppendWire appends the bytes to be written now. It appends nothing while the
// window is full and while the link is quiet.
func (l *Link) AppendWire(dst []byte, now time.Time) []byte {
	if l.recovering {
		if now.Before(l.quietUntil) {
			return dst
		}
		l.rewind()
	}
	if l.queryDue || l.erase > 0 {
		dst = l.appendErase(dst)
	}
	if l.queryDue {
		l.queryDue, l.queryOut = false, true
		dst = append(dst, '\n') // the line before it may have lost its own
		return l.frame(dst, queryNumber, []byte(l.cfg.Sync))
	}
	if l.queryOut {
		return dst // its answer throws away whatever follows
	}
	for {
		if l.send == l.next {
			if !l.wantsSync() {
				return dst
			}
			l.syncDue = false
			l.add([]byte(l.cfg.Sync), true)
		}
		s := &l.ring[l.send%ringLines]
		if !l.fits(s, now) {
			return l.appendAhead(dst, s)
		}
		if l.send-1 == l.acked {
			l.last = now // the wait for an answer begins
		}
		if l.cfg.Loose && l.send-1 > l.acked {
			dst = append(dst, '\n') // or a lost line feed would glue them together
		}
		dst = append(dst, s.text[l.ahead:s.n]...)
		l.ahead = 0
		l.wrote = now
		l.send++
	}
}

// appendAhead appends all but the line feed of line s if the window allows that.
func (l *Link) appendAhead(dst []byte, s *sentLine) []byte {
	if l.cfg.Window != WindowTail || l.ahead > 0 || l.sound < soundLines || l.doubt || !l.room(s) {
		return dst
	}
	l.ahead = int(s.n) - 1
	return append(dst, s.text[:l.ahead]...)
}

// takeBack has what was written ahead erased before anything else is written.
func (l *Link) takeBack() {
	if l.ahead > 0 {
		l.erase, l.ahead = l.ahead, 0
	}
}

// appendErase appends the backspaces that empty the line buffer of the firmware. More
// than it holds do no harm; one that is damaged is erased by those after it.
func (l *Link) appendErase(dst []byte) []byte {
	const spare = 4
	l.takeBack()
	if l.erase == 0 {
		return dst
	}
	for range l.erase + spare {
		dst = append(dst, '\b')
	}
	l.erase = 0
	return dst
}

// AppendBare appends text, which has no number and is answered by oks more oks than
// lines will bring, to be written beside the lines. What was written ahead is taken back
// first. It always reports true.
func (l *Link) AppendBare(dst, text []byte, oks int) ([]byte, bool) {
	l.bare += oks
	return append(l.appendErase(dst), text...), true
}

// fits reports whether line s may be put on the wire behind what is there.
func (l *Link) fits(s *sentLine, now time.Time) bool {
	lines := int(l.send - l.acked - 1)
	if lines == 0 || s.sync && l.syncForced {
		l.syncForced = false
		return true
	}
	return l.room(s) && now.Sub(l.wrote) >= l.cfg.Spacing
}

// room reports whether the window has room for line s.
func (l *Link) room(s *sentLine) bool {
	if l.careful || int(l.send-l.acked-1) >= l.cfg.Lines {
		return false
	}
	bytes := int(s.n) + 1
	for i := l.acked + 1; i < l.send; i++ {
		bytes += int(l.ring[i%ringLines].n)
	}
	return bytes <= l.cfg.Bytes
}

package pack

import "bytes"

// readEntry reads the entry of the directory at the given place and the header that
// it points to, and returns the length of the former.
func (a *Archive) readEntry(e *entry, at int64) (size int64, ok bool) {
	d := a.data
	if at+centralSize > int64(len(d)) || u32(d, at) != centralSignature {
		return 0, false
	}
	name, extra, comment := int64(u16(d, at+28)), int64(u16(d, at+30)), int64(u16(d, at+32))
	size = centralSize + name + extra + comment
	if at+size > int64(len(d)) || u16(d, at+34) != 0 {
		return 0, false
	}
	*e = entry{
		made: u16(d, at+4), flags: u16(d, at+8), method: u16(d, at+10), crc: u32(d, at+16),
		packed: int64(u32(d, at+20)), size: int64(u32(d, at+24)),
		nameAt: int32(at + centralSize), nameLen: uint16(name),
		external: u32(d, at+38), header: int64(u32(d, at+42)),
	}
	wide := fields{&e.size, &e.packed, &e.header}
	if !wide.read(d[at+centralSize+name:][:extra]) {
		return 0, false
	}
	return size, a.allowed(e) && a.header(e)
}

// allowed checks what the directory says of an entry.
func (a *Archive) allowed(e *entry) bool {
	name := a.name(e)
	if !plain(name) || e.flags&^flagsKnown != 0 || e.size > mostSize {
		return false
	}
	const (
		madeUnix = 3
		typeMask = 0o170000
		regular  = 0o100000
		folder   = 0o040000
	)
	if e.made>>8 == madeUnix {
		if mode := e.external >> 16 & typeMask; mode != 0 && mode != regular && mode != folder {
			return false // a link or a device
		}
	}
	switch {
	case name[len(name)-1] == '/':
		return e.size == 0 && e.packed <= 2 // an empty deflate stream
	case e.method == methodStored:
		return e.packed == e.size
	case e.method == methodDeflate:
		return e.size <= mostRatio*e.packed+freeSize
	}
	return false
}

// header holds the header before the data of an entry against the directory, and
// finds the data.
func (a *Archive) header(e *entry) bool {
	d := a.data
	at := e.header
	if at < 0 || at > int64(len(d))-localSize || u32(d, at) != localSignature {
		return false
	}
	name, extra := int64(u16(d, at+26)), int64(u16(d, at+28))
	e.data = at + localSize + name + extra
	if e.packed < 0 || e.data > int64(len(d)) || e.packed > int64(len(d))-e.data {
		return false
	}
	if u16(d, at+6) != e.flags || u16(d, at+8) != e.method || !bytes.Equal(d[at+localSize:][:name], a.name(e)) {
		return false
	}
	packed, size := int64(u32(d, at+18)), int64(u32(d, at+22))
	wide := fields{&size, &packed}
	if !wide.read(d[at+localSize+name:][:extra]) {
		return false
	}
	if e.flags&flagDescriptor != 0 && u32(d, at+14) == 0 && packed == 0 && size == 0 {
		return true // they follow the data, and the directory is believed
	}
	return u32(d, at+14) == e.crc && packed == e.packed && size == e.size
}

// fields are numbers that stand in the wide extra field if they are all ones in the
// record (4.5.3).
type fields []*int64

// read goes through all extra fields and replaces what stands there.
func (f fields) read(extra []byte) bool {
	missing := 0
	for _, p := range f {
		if *p == max32 {
			missing++
		}
	}
	for seen := false; len(extra) > 0; {
		if len(extra) < 4 {
			return false
		}
		id, n := u16(extra, 0), int(u16(extra, 2))
		if n > len(extra)-4 {
			return false
		}
		body := extra[4 : 4+n]
		extra = extra[4+n:]
		if id != 1 {
			continue
		}
		if seen {
			return false
		}
		seen = true
		for _, p := range f {
			if *p != max32 {
				continue
			}
			if len(body) < 8 || u64(body, 0) > 1<<40 {
				return false
			}
			*p = int64(u64(body, 0))
			body = body[8:]
			missing--
		}
	}
	return missing == 0
}

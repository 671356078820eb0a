package telemetry

// spool keeps the newest messages of one recipient, up to a bound.
type spool struct {
	ring    [][]byte
	first   int    // place of the oldest
	n       int    // how many there are
	lost    uint64 // dropped since the last batch took from it
	dropped uint64 // dropped ever
}

func newSpool(most int) *spool { return &spool{ring: make([][]byte, most)} }

// put adds a message; the oldest makes room for it if need be.
func (s *spool) put(msg []byte) {
	if s.n == len(s.ring) {
		s.ring[s.first] = nil
		s.first = (s.first + 1) % len(s.ring)
		s.n--
		s.lost++
		s.dropped++
	}
	s.ring[(s.first+s.n)%len(s.ring)] = msg
	s.n++
}

// peek returns the oldest messages that fit into room bytes, each with overhead
// bytes of its own and at most most of them.
func (s *spool) peek(room, overhead, most int) [][]byte {
	var msgs [][]byte
	for i := 0; i < s.n && len(msgs) < most; i++ {
		m := s.ring[(s.first+i)%len(s.ring)]
		if room -= len(m) + overhead; room < 0 {
			break
		}
		msgs = append(msgs, m)
	}
	return msgs
}

// take removes what a batch now speaks for: the n oldest messages as they were
// when lost messages had been lost. Those of the n that were dropped since are not
// lost after all.
func (s *spool) take(n int, lost uint64) {
	saved := min(s.lost-lost, uint64(n))
	s.lost -= lost + saved
	s.dropped -= saved
	for range n - int(saved) {
		s.ring[s.first] = nil
		s.first = (s.first + 1) % len(s.ring)
		s.n--
	}
}

// clear forgets everything.
func (s *spool) clear() {
	clear(s.ring)
	s.first, s.n, s.lost = 0, 0, 0
}

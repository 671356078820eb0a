package trust

import (
	"context"
	"crypto/rand"
	"encoding/binary"
	"errors"
	"net"
	"time"
)

// Bounds of what servers of the network may say.
const (
	mostServers = 4
	mostAhead   = 10 * 365 * 24 * time.Hour // of the floor: no printer lies longer on a shelf
)

// askTime asks servers for the time and believes the one that is the least ahead of the
// floor, so that all of them have to lie to make metadata look expired. It waits for each
// as long as patience.
func askTime(ctx context.Context, servers []string, floor time.Time, patience time.Duration) (least time.Time, ok bool) {
	for _, server := range servers[:min(len(servers), mostServers)] {
		at, err := sntp(ctx, server, floor, patience)
		if err != nil || at.Before(floor) || at.After(floor.Add(mostAhead)) {
			continue
		}
		if !ok || at.Before(least) {
			least, ok = at, true
		}
	}
	return least, ok
}

var errTime = errors.New("no answer of a time server to what was asked")

// sntp asks one server (RFC 4330). The client's time stamp is random: it is no more than
// the mark by which the answer is known.
func sntp(ctx context.Context, server string, floor time.Time, patience time.Duration) (time.Time, error) {
	ctx, cancel := context.WithTimeout(ctx, patience)
	defer cancel()
	conn, err := (&net.Dialer{}).DialContext(ctx, "udp", server)
	if err != nil {
		return time.Time{}, err
	}
	defer conn.Close()
	stop := context.AfterFunc(ctx, func() { conn.SetDeadline(time.Unix(1, 0)) })
	defer stop()
	ask := make([]byte, 48)
	ask[0] = 4<<3 | 3 // version 4, client
	if _, err := rand.Read(ask[40:]); err != nil {
		return time.Time{}, err
	}
	if _, err := conn.Write(ask); err != nil {
		return time.Time{}, err
	}
	for {
		answer := make([]byte, 49)
		n, err := conn.Read(answer)
		if err != nil {
			return time.Time{}, err
		}
		if n < 48 || [8]byte(answer[24:32]) != [8]byte(ask[40:48]) {
			continue // not what was asked for
		}
		at, ok := parseTime([48]byte(answer), floor)
		if !ok {
			return time.Time{}, errTime
		}
		return at, nil
	}
}

// parseTime reads the moment at which an answer was sent. The seconds of NTP wrap in
// 2036: what is meant is the first such moment that is not before the floor, as far as
// half an era.
func parseTime(p [48]byte, floor time.Time) (time.Time, bool) {
	leap, mode, stratum := p[0]>>6, p[0]&7, p[1]
	sec, frac := binary.BigEndian.Uint32(p[40:]), binary.BigEndian.Uint32(p[44:])
	if leap == 3 || mode != 4 || stratum == 0 || stratum > 15 || sec == 0 && frac == 0 {
		return time.Time{}, false // not set, not a server, or a kiss of death
	}
	const from1900 = 2208988800
	near := floor.Unix() + from1900
	ahead := int32(sec - uint32(near))
	return time.Unix(near+int64(ahead)-from1900, int64(frac)*1e9>>32).UTC(), true
}

package seam

import "log/slog"

// MostProfile is the size of the largest profile in bytes.
const MostProfile = 16 << 10

// maxPiece is how much of a profile is in one message.
const maxPiece = 480

// Profile is a piece of the text of the profile for the job that is started next: how its
// model is sliced. All pieces come before the Start. The session parses it.
type Profile struct {
	Text []byte
}

// LogValue keeps the text out of logs.
func (Profile) LogValue() slog.Value { return slog.StringValue("profile") }

// String keeps the text out of formatted text.
func (Profile) String() string { return "profile" }

// GoString keeps the text out of formatted text.
func (Profile) GoString() string { return "profile" }

// Pieces cuts the text of a profile into messages.
func Pieces(text []byte) (pieces []Profile) {
	for len(text) > 0 {
		n := min(len(text), maxPiece)
		pieces = append(pieces, Profile{text[:n]})
		text = text[n:]
	}
	return pieces
}

func (Profile) kind() Kind { return KindProfile }

func (p Profile) append(dst []byte) []byte { return append(dst, p.Text...) }

func (p *Profile) parse(b []byte) bool {
	p.Text = append([]byte(nil), b...)
	return len(b) > 0 && len(b) <= maxPiece
}

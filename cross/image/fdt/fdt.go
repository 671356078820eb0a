// Package fdt reads and writes flattened device trees (Devicetree Specification 0.4,
// chapter 5): the form of a board's description, of U-Boot's keys and of signed images.
// Start at [Node]: build a tree, [Node.Encode] it, [Parse] it back. The same tree has the
// same bytes each time. [Compile] reads the text form, as far as boards need it.
package fdt

import (
	"bytes"
	"encoding/binary"
	"errors"
	"fmt"
	"strings"
)

const (
	magic      = 0xd00dfeed
	version    = 17
	compatible = 16
	headerSize = 40
	maxDepth   = 32

	beginNode = 1
	endNode   = 2
	property  = 3
	nop       = 4
	end       = 9
)

// ErrTree reports bytes that are no device tree.
var ErrTree = errors.New("not a flattened device tree")

// Prop is a property of a node.
type Prop struct {
	Name  string
	Value []byte
}

// Node is a node of a tree. The root's name is "".
type Node struct {
	Name     string
	Props    []Prop
	Children []*Node
}

// Set gives the node a property, in place of one of that name.
func (n *Node) Set(name string, value []byte) {
	for i := range n.Props {
		if n.Props[i].Name == name {
			n.Props[i].Value = value
			return
		}
	}
	n.Props = append(n.Props, Prop{name, value})
}

// Cells gives the node a property of big-endian numbers of 32 bits.
func (n *Node) Cells(name string, cells ...uint32) {
	var b []byte
	for _, c := range cells {
		b = binary.BigEndian.AppendUint32(b, c)
	}
	n.Set(name, b)
}

// Text gives the node a property of strings, each ended by a zero.
func (n *Node) Text(name string, text ...string) {
	n.Set(name, []byte(strings.Join(text, "\x00")+"\x00"))
}

// Prop is the value of a property, nil if there is none.
func (n *Node) Prop(name string) []byte {
	for _, p := range n.Props {
		if p.Name == name {
			return p.Value
		}
	}
	return nil
}

// Child is the child of that name, added if there is none.
func (n *Node) Child(name string) *Node {
	for _, c := range n.Children {
		if c.Name == name {
			return c
		}
	}
	c := &Node{Name: name}
	n.Children = append(n.Children, c)
	return c
}

// At is the node at a path below n, as in "images/kernel"; nil if there is none.
func (n *Node) At(path string) *Node {
	for name := range strings.SplitSeq(path, "/") {
		i := 0
		for i < len(n.Children) && n.Children[i].Name != name {
			i++
		}
		if i == len(n.Children) {
			return nil
		}
		n = n.Children[i]
	}
	return n
}

// encoder collects the two blocks of a tree.
type encoder struct {
	tree    []byte
	names   []byte
	offsets map[string]uint32
}

// Encode is the tree below n, in version 17.
func (n *Node) Encode() []byte {
	e := encoder{offsets: map[string]uint32{}}
	e.node(n)
	e.tag(end)
	const reserved = headerSize // an empty list of reserved memory: 16 zero bytes
	const at = reserved + 16
	tree, names := uint32(len(e.tree)), uint32(len(e.names))
	var b []byte
	for _, v := range [...]uint32{magic, at + tree + names, at, at + tree, reserved, version, compatible, 0, names, tree} {
		b = binary.BigEndian.AppendUint32(b, v)
	}
	b = append(b, make([]byte, 16)...)
	return append(append(b, e.tree...), e.names...)
}

func (e *encoder) tag(v uint32) { e.tree = binary.BigEndian.AppendUint32(e.tree, v) }

func (e *encoder) pad() { e.tree = append(e.tree, make([]byte, -len(e.tree)&3)...) }

func (e *encoder) node(n *Node) {
	e.tag(beginNode)
	e.tree = append(append(e.tree, n.Name...), 0)
	e.pad()
	for _, p := range n.Props {
		off, ok := e.offsets[p.Name]
		if !ok {
			off = uint32(len(e.names))
			e.offsets[p.Name] = off
			e.names = append(append(e.names, p.Name...), 0)
		}
		e.tag(property)
		e.tag(uint32(len(p.Value)))
		e.tag(off)
		e.tree = append(e.tree, p.Value...)
		e.pad()
	}
	for _, c := range n.Children {
		e.node(c)
	}
	e.tag(endNode)
}

// Token is one piece of a tree's structure.
type Token struct {
	Path string // of the node that it begins, ends, or belongs to: "/", "/images/kernel"
	Prop string // name of a property; "" for a node's begin and end
	// From and To are where its bytes are in the tree's; of a property, ValueFrom is where
	// its value begins and ValueTo where that ends.
	From, To, ValueFrom, ValueTo int
	begins                       bool
}

// Begins reports whether the token begins a node.
func (t Token) Begins() bool { return t.begins }

// Blocks are where the parts of a tree are in its bytes.
type Blocks struct {
	Size            int // of all
	Struct, Strings [2]int
}

// Locate reads the header of the tree that b begins with.
func Locate(b []byte) (Blocks, error) {
	if len(b) < headerSize || binary.BigEndian.Uint32(b) != magic {
		return Blocks{}, ErrTree
	}
	at := func(i int) int { return int(binary.BigEndian.Uint32(b[4*i:]) & 0x7fffffff) }
	l := Blocks{Size: at(1), Struct: [2]int{at(2), at(2) + at(9)}, Strings: [2]int{at(3), at(3) + at(8)}}
	for _, part := range [...][2]int{l.Struct, l.Strings} {
		if part[0] < headerSize || part[1] < part[0] || part[1] > l.Size {
			return Blocks{}, ErrTree
		}
	}
	if l.Size > len(b) || at(5) != version {
		return Blocks{}, ErrTree
	}
	return l, nil
}

// Tokens lists the pieces of the tree that b begins with, in their order.
func Tokens(b []byte) ([]Token, error) {
	l, err := Locate(b)
	if err != nil {
		return nil, err
	}
	var list []Token
	var path []string
	next, limit := l.Struct[0], l.Struct[1]
	for {
		t, tag, ok := l.token(b, next, limit)
		if !ok {
			return nil, ErrTree
		}
		switch tag {
		case beginNode:
			if len(path) == 0 && len(list) > 0 || len(path) == maxDepth {
				return nil, ErrTree
			}
			path = append(path, t.Path)
		case end:
			if len(path) != 0 || len(list) == 0 {
				return nil, ErrTree
			}
			return list, nil
		}
		if len(path) == 0 {
			return nil, ErrTree
		}
		t.Path = "/" + strings.Join(path[1:], "/")
		if tag == endNode {
			path = path[:len(path)-1]
		}
		next = t.To
		if tag != nop {
			list = append(list, t)
		}
	}
}

// token reads the piece at from. Its Path is the node's own name.
func (l Blocks) token(b []byte, from, limit int) (t Token, tag uint32, ok bool) {
	if from+4 > limit {
		return t, 0, false
	}
	tag = binary.BigEndian.Uint32(b[from:])
	t = Token{From: from, To: from + 4}
	switch tag {
	case beginNode:
		n := bytes.IndexByte(b[from+4:limit], 0)
		if n < 0 {
			return t, 0, false
		}
		t.Path, t.To, t.begins = string(b[from+4:from+4+n]), from+4+(n+4)&^3, true
	case property:
		if from+12 > limit {
			return t, 0, false
		}
		size, name := int(binary.BigEndian.Uint32(b[from+4:])&0x7fffffff), int(binary.BigEndian.Uint32(b[from+8:])&0x7fffffff)
		if size > limit-from-12 || name > l.Strings[1]-l.Strings[0] {
			return t, 0, false
		}
		names := b[l.Strings[0]+name : l.Strings[1]]
		n := bytes.IndexByte(names, 0)
		if n < 1 {
			return t, 0, false
		}
		t.Prop = string(names[:n])
		t.ValueFrom, t.ValueTo = from+12, from+12+size
		t.To = from + 12 + (size+3)&^3
	case endNode, nop, end:
	default:
		return t, 0, false
	}
	return t, tag, t.To <= limit
}

// Parse reads the tree that b begins with. Values are parts of b. Any mistake is ErrTree.
func Parse(b []byte) (*Node, error) {
	tokens, err := Tokens(b)
	if err != nil {
		return nil, err
	}
	var stack []*Node
	for _, t := range tokens {
		switch {
		case t.begins:
			n := &Node{Name: t.Path[strings.LastIndexByte(t.Path, '/')+1:]}
			if len(stack) > 0 {
				above := stack[len(stack)-1]
				above.Children = append(above.Children, n)
			}
			stack = append(stack, n)
		case t.Prop != "":
			n := stack[len(stack)-1]
			n.Props = append(n.Props, Prop{t.Prop, b[t.ValueFrom:t.ValueTo:t.ValueTo]})
		case len(stack) == 1:
			return stack[0], nil
		default:
			stack = stack[:len(stack)-1]
		}
	}
	return nil, fmt.Errorf("%w: it does not end", ErrTree)
}

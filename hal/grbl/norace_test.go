//go:build !race

package grbl_test

const racing = false

package uplink

import (
	"bytes"
	"context"
	"crypto/rand"
	"fmt"
	"time"

	"github.com/eclipse/paho.golang/paho"

	"platen/agent/evidence"
)

// greetAll subscribes on each new connection and asks for a nonce.
func (l *Link) greetAll(ctx context.Context) {
	for {
		select {
		case <-ctx.Done():
			return
		case <-l.ups:
		}
		if err := l.greet(ctx); err != nil && ctx.Err() == nil {
			l.failed(fmt.Errorf("subscribe at %s: %w", l.cfg.Broker, err))
			l.drop()
		}
	}
}

func (l *Link) greet(ctx context.Context) error {
	ctx, cancel := context.WithTimeout(ctx, greetTime)
	defer cancel()
	_, err := l.cm.Subscribe(ctx, &paho.Subscribe{Subscriptions: []paho.SubscribeOptions{
		{Topic: evidence.NonceTopic(l.cfg.Printer), QoS: 0, RetainHandling: 2}}})
	if err != nil {
		return err
	}
	asking := make([]byte, 16)
	_, _ = rand.Read(asking) // never fails
	l.change(func() { l.heard, l.asking, l.asked = false, asking, time.Now() })
	hello := &paho.Publish{Topic: evidence.HelloTopic(l.cfg.Printer), QoS: 0,
		Properties: &paho.PublishProperties{ResponseTopic: evidence.NonceTopic(l.cfg.Printer), CorrelationData: asking}}
	if _, err := l.cm.Publish(ctx, hello); err != nil {
		return err
	}
	l.change(func() { l.ready, l.lastEr, l.alarm = true, nil, "" })
	l.cfg.Logger.Debug("broker is there", "broker", l.cfg.Broker)
	if l.cfg.Offer == nil {
		return nil
	}
	_, err = l.cm.Subscribe(ctx, &paho.Subscribe{Subscriptions: []paho.SubscribeOptions{
		{Topic: l.offers(), QoS: 1, RetainHandling: 2, RetainAsPublished: true}}})
	if err != nil { // a broker may have no offers; evidence is sent all the same
		l.cfg.Logger.Warn("the broker gives no offers of jobs", "broker", l.cfg.Broker)
	}
	return nil
}

// received takes a nonce, or an offer. Everything else is dropped.
func (l *Link) received(p paho.PublishReceived) (bool, error) {
	m := p.Packet
	if l.cfg.Offer != nil && m.Topic == l.offers() {
		l.cfg.Offer(m.Payload, m.Retain)
		return true, nil
	}
	if m.Retain || m.Topic != evidence.NonceTopic(l.cfg.Printer) || len(m.Payload) == 0 || len(m.Payload) > maxNonceLen {
		return true, nil
	}
	nonce := append([]byte(nil), m.Payload...)
	l.change(func() {
		if answer := m.Properties; answer == nil || len(answer.CorrelationData) == 0 || bytes.Equal(answer.CorrelationData, l.asking) {
			l.nonce, l.heard = nonce, true // unasked, or the answer to this connection's request
		}
	})
	return true, nil
}

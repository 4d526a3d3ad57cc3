// Package peers is not built. The folders below hold what Schoolbell is measured against. For `schoolbell bench realtime`
// they are servers: centrifuge on the centrifuge library, socketio on Socket.IO's own server for Node, and bare, which
// knows its clients and does nothing but one write(2) for each delivery. For `schoolbell bench jobs` it is bullmq, a
// program that does the same deliveries with BullMQ. They are a module of their own, so that what they need is not in the
// product's.
package peers

// Package peers is not built. The folders below hold the servers that `schoolbell bench realtime` measures Schoolbell's
// beside: centrifuge on the centrifuge library, socketio on Socket.IO's own server for Node, and bare, which knows its
// clients and does nothing but one write(2) for each delivery. They are a module of their own, so that what they need
// is not in the product's.
package peers

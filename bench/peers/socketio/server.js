// Socket.IO's own server, doing what the servers in Go do.
import { createServer } from 'node:http';
import { Server } from 'socket.io';

let next = 0;

function event(n, room) {
  const now = BigInt(Date.now()) * 1000000n;
  return {
    specversion: '1.0', id: String(n), source: 'https://bench.example', type: 'schoolbell.announcement.posted.v1',
    time: new Date().toISOString(), subject: String(n), school: 'bench', position: `0:${n}`, datacontenttype: 'application/json',
    data: {
      announcement_id: String(n), title: `t${now}`, body: 'School ends at noon today.',
      audience: { class_ids: [room] }, channels: ['in_app'], urgent: false,
    },
  };
}

const http = createServer((req, res) => {
  const url = new URL(req.url, 'http://localhost');
  if (url.pathname === '/publish') {
    const rooms = Number(url.searchParams.get('rooms'));
    for (let i = Number(url.searchParams.get('events')); i > 0; i--) {
      const room = `r${next % rooms}`;
      io.to(`class:${room}`).emit('event', event(next++, room));
    }
  }
  if (url.pathname === '/settle') globalThis.gc?.();
  res.end();
});
const io = new Server(http, { transports: ['websocket'] });
io.on('connection', (socket) => socket.on('join', (room, done) => { socket.join(room); done?.('ok'); }));
process.stdin.on('end', () => process.exit(0)).resume();
http.listen(0, '127.0.0.1', () => console.log(`listening 127.0.0.1:${http.address().port}`));

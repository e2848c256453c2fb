/*
 * Every kind of channel from C, by the wire formats of docs/channels.md and nothing else.
 *
 *     any put COUNT       messages "0" to COUNT - 1 into the queue CHANNEL_JOBS
 *     any get             prints messages of that queue, one a line, for ever
 *     any add TIMES       adds 1 to the long long CHANNEL_TOTAL under the lock CHANNEL_GUARD
 *     any hold            takes one place of the semaphore CHANNEL_SLOTS, which has two
 *     any write COUNT     lines into the pipe CHANNEL_LINES
 *     any read            copies that pipe, or the fifo that it is, to stdout
 *     any serve           answers connections at the first socket of LISTEN_FDS with its pid
 */
#define _GNU_SOURCE
#include <err.h>
#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/eventfd.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <sys/uio.h>
#include <unistd.h>

#define RELOOK 50 /* milliseconds that a producer waits for a bell that may never ring */
#define ROOM 65536

enum { PUT_BYTE, GET_BYTE, WALK_BYTE };

struct page {
    char magic[8];
    volatile uint64_t capacity, puts_dirty, gets_dirty, puts, gets, waiting;
};

struct queue {
    int in, out, bell, own; /* own: the page, opened again, for locks of our own */
    struct page *page;
};

static const char *variable(const char *name)
{
    const char *value = getenv(name);
    if (value == NULL)
        errx(2, "cannot find %s in the environment", name);
    return value;
}

/* ------------------------------------------------------------------------------- locks */

static int open_again(int fd)
{
    char path[64];
    snprintf(path, sizeof path, "/proc/self/fd/%d", fd);
    int own = open(path, O_RDWR | O_CLOEXEC);
    if (own < 0)
        err(2, "cannot open %s again", path);
    return own;
}

static int change(int own, int how, short type, int byte)
{
    struct flock lock = {.l_type = type, .l_whence = SEEK_SET, .l_start = byte, .l_len = 1};
    return fcntl(own, how, &lock);
}

static void lock(int own, int byte)
{
    while (change(own, F_OFD_SETLKW, F_WRLCK, byte) < 0)
        if (errno != EINTR)
            err(2, "cannot lock byte %d", byte);
}

static void unlock(int own, int byte)
{
    change(own, F_OFD_SETLK, F_UNLCK, byte);
}

/* ------------------------------------------------------------------------------- queues */

static struct queue queue_of(const char *name)
{
    struct queue queue;
    int page;
    if (sscanf(variable(name), "%d %d %d %d", &queue.in, &queue.out, &page, &queue.bell) != 4)
        errx(2, "cannot read %s", name);
    queue.own = open_again(page);
    queue.page = mmap(NULL, 4096, PROT_READ | PROT_WRITE, MAP_SHARED, page, 0);
    if (queue.page == MAP_FAILED || memcmp(queue.page->magic, "SLQUEUE1", 8) != 0)
        errx(2, "cannot use the page of %s", name);
    return queue;
}

/* How many messages there are; byte WALK_BYTE is locked. */
static uint64_t walk(struct queue *queue)
{
    static char room[ROOM];
    int from = 0, off = -1;
    uint64_t count = 0;
    setsockopt(queue->out, SOL_SOCKET, SO_PEEK_OFF, &from, sizeof from);
    while (recv(queue->out, room, sizeof room, MSG_PEEK | MSG_DONTWAIT) > 0)
        count++;
    setsockopt(queue->out, SOL_SOCKET, SO_PEEK_OFF, &off, sizeof off);
    return count;
}

/* Nothing is locked by us before it, nor after. */
static void recount(struct queue *queue)
{
    struct page *page = queue->page;
    lock(queue->own, PUT_BYTE);
    lock(queue->own, GET_BYTE);
    lock(queue->own, WALK_BYTE);
    uint64_t inside = walk(queue);
    if (inside <= page->puts)
        page->gets = page->puts - inside;
    else
        page->puts = page->gets + inside;
    page->puts_dirty = page->gets_dirty = 0;
    unlock(queue->own, WALK_BYTE);
    unlock(queue->own, GET_BYTE);
    unlock(queue->own, PUT_BYTE);
}

static int await(int fd, short event, int milliseconds)
{
    struct pollfd one = {.fd = fd, .events = event};
    return poll(&one, 1, milliseconds) > 0;
}

static int is_full(struct page *page)
{
    return page->capacity && page->puts - page->gets >= page->capacity;
}

/* Wait until a consumer has made room; PUT_BYTE is locked before and not afterwards. Nobody may tell:
 * consumers that were killed in between, or do not count. */
static void await_room(struct queue *queue)
{
    uint64_t rings;
    queue->page->waiting = 1;
    int was_full = is_full(queue->page);
    unlock(queue->own, PUT_BYTE);
    if (was_full && !await(queue->bell, POLLIN, RELOOK))
        recount(queue);
    else if (was_full && read(queue->bell, &rings, sizeof rings) < 0 && errno != EAGAIN)
        err(2, "cannot read the bell");
}

static void put(struct queue *queue, const char *message, size_t length)
{
    struct page *page = queue->page;
    for (;;) {
        lock(queue->own, PUT_BYTE);
        if (page->puts_dirty) {
            unlock(queue->own, PUT_BYTE);
            recount(queue);
            continue;
        }
        if (is_full(page)) {
            await_room(queue);
            continue;
        }
        page->puts_dirty = 1;
        ssize_t sent = send(queue->in, message, length, MSG_DONTWAIT | MSG_NOSIGNAL);
        if (sent >= 0)
            page->puts++;
        page->puts_dirty = 0;
        unlock(queue->own, PUT_BYTE);
        if (sent >= 0)
            return;
        if (errno != EAGAIN)
            err(2, "cannot put");
        await(queue->in, POLLOUT, RELOOK);
    }
}

/* A message that is there, or -1; `body` is the memfd that came with it, or -1. */
static ssize_t receive(int out, char *room, size_t size, int *body)
{
    union { char space[CMSG_SPACE(sizeof(int))]; struct cmsghdr header; } control;
    struct iovec part = {.iov_base = room, .iov_len = size};
    struct msghdr message = {.msg_iov = &part, .msg_iovlen = 1,
                             .msg_control = &control, .msg_controllen = sizeof control};
    ssize_t length = recvmsg(out, &message, MSG_DONTWAIT | MSG_CMSG_CLOEXEC);
    *body = -1;
    if (length < 0)
        return -1;
    struct cmsghdr *header = CMSG_FIRSTHDR(&message);
    if (header != NULL && header->cmsg_type == SCM_RIGHTS)
        memcpy(body, CMSG_DATA(header), sizeof *body);
    return length;
}

static ssize_t get(struct queue *queue, char *room, size_t size, int *body)
{
    struct page *page = queue->page;
    for (;;) {
        await(queue->out, POLLIN, -1);
        lock(queue->own, GET_BYTE);
        if (page->gets_dirty) {
            unlock(queue->own, GET_BYTE);
            recount(queue);
            continue;
        }
        page->gets_dirty = 1;
        ssize_t length = receive(queue->out, room, size, body);
        if (length >= 0)
            page->gets++;
        page->gets_dirty = 0;
        int rings = length >= 0 && page->waiting;
        if (rings)
            page->waiting = 0;
        unlock(queue->own, GET_BYTE);
        if (rings)
            eventfd_write(queue->bell, 1);
        if (length >= 0)
            return length;
    }
}

static void put_all(long count)
{
    struct queue queue = queue_of("CHANNEL_JOBS");
    char message[32];
    for (long number = 0; number < count; number++)
        put(&queue, message, (size_t)snprintf(message, sizeof message, "b%ld", number));
    puts("put");
}

static void get_all(void)
{
    struct queue queue = queue_of("CHANNEL_JOBS");
    static char room[ROOM + 1];
    int body;
    for (;;) {
        ssize_t length = get(&queue, room, ROOM, &body);
        room[length] = '\0';
        if (room[0] == 'b')
            printf("%s\n", room + 1);
        else if (room[0] == 'B')
            printf("%s bytes, %lld in a memfd\n", room + 1, (long long)lseek(body, 0, SEEK_END));
        else
            printf("a pickle of %zd bytes\n", length - 1);
        if (body >= 0)
            close(body);
    }
}

/* ------------------------------------------------------------------ memory, locks, slots */

static void add(long times)
{
    int own = open_again(atoi(variable("CHANNEL_GUARD")));
    int memory = atoi(variable("CHANNEL_TOTAL"));
    volatile long long *total =
        mmap(NULL, sizeof *total, PROT_READ | PROT_WRITE, MAP_SHARED, memory, 0);
    if (total == MAP_FAILED)
        err(2, "cannot map the value");
    for (long time = 0; time < times; time++) {
        lock(own, 0);
        *total += 1;
        unlock(own, 0);
    }
    puts("added");
}

static void hold(void)
{
    int own = open_again(atoi(variable("CHANNEL_SLOTS")));
    for (int slot = 0; change(own, F_OFD_SETLK, F_WRLCK, slot) < 0; slot = 1 - slot)
        usleep(10000);
    puts("held");
}

/* ------------------------------------------------------------------------ pipes, sockets */

static void write_lines(long count)
{
    int lines = atoi(variable("CHANNEL_LINES"));
    for (long number = 0; number < count; number++)
        dprintf(lines, "%ld\n", number);
}

static void read_lines(void)
{
    char some[4096];
    ssize_t length;
    while ((length = read(atoi(variable("CHANNEL_LINES")), some, sizeof some)) > 0)
        fwrite(some, 1, (size_t)length, stdout);
    puts("end");
}

static void serve(void)
{
    if (atoi(variable("LISTEN_PID")) != getpid() || atoi(variable("LISTEN_FDS")) < 1)
        errx(2, "cannot find a socket that is meant for us");
    for (;;) {
        int connection = accept4(3, NULL, NULL, SOCK_CLOEXEC);
        if (connection < 0)
            err(2, "cannot accept");
        dprintf(connection, "%d\n", getpid());
        close(connection);
    }
}

int main(int count, char **words)
{
    const char *what = count > 1 ? words[1] : "";
    long number = count > 2 ? atol(words[2]) : 0;
    setvbuf(stdout, NULL, _IOLBF, 0);
    if (!strcmp(what, "put"))
        put_all(number);
    else if (!strcmp(what, "get"))
        get_all();
    else if (!strcmp(what, "add"))
        add(number);
    else if (!strcmp(what, "hold"))
        hold();
    else if (!strcmp(what, "write"))
        write_lines(number);
    else if (!strcmp(what, "read"))
        read_lines();
    else if (!strcmp(what, "serve"))
        serve();
    else
        errx(2, "cannot do %s", what);
    pause(); /* what we hold is ours until we are killed */
    return 0;
}

/* A stand-in for a V4L2 driver, preloaded into the daemon: this machine's kernel has no video devices at all.
 *
 * What it is: the calls that the daemon makes through the C library on one file, CAMERA_FILE, are answered here the
 * way vb2 and uvcvideo answer them, written with the kernel's own header <linux/videodev2.h>. The descriptor that the
 * daemon gets is a timer, so that poll() is the kernel's. What it is not: a kernel. It proves what our side of the
 * interface does, not what a driver does.
 *
 * CAMERA_FAULT names a file with one word: how the camera is. It is read at each call:
 *   (empty)      well: YUYV and MJPG 320x240 and 640x480 (MJPG 30 Hz, YUYV 10 Hz), GREY and NV12 320x240 10 Hz
 *   eacces ebusy enodev          opening (ebusy: setting the format) fails so
 *   eio          taking a frame fails so
 *   silent       no frame is ever ready
 *   damaged      each frame has the driver's mark of an error
 *   short        each frame is cut off
 *   unplugged    every call fails with ENODEV; a test removes the file too
 *   planes metadata h264         a device of another kind
 * CAMERA_LOG is a file in which controls that are set, formats and starts are written down.
 */
#define _GNU_SOURCE
#include <dlfcn.h>
#include <errno.h>
#include <fcntl.h>
#include <linux/videodev2.h>
#include <stdarg.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <sys/timerfd.h>
#include <time.h>
#include <unistd.h>

#define BUFFERS 4
#define REAL(name) ((__typeof__(&name))dlsym(RTLD_NEXT, #name))

static int camera = -1, streaming;
static unsigned count, width, height, format, rate = 10, sequence, pending;
static size_t length;
static uint8_t *memory[BUFFERS];
static unsigned queued[BUFFERS], queue_length;
static uint8_t jpeg[64 << 10];
static size_t jpeg_length;

static const struct { unsigned format, width, height, rate; } MODES[] = {
    { V4L2_PIX_FMT_YUYV, 640, 480, 10 }, { V4L2_PIX_FMT_YUYV, 320, 240, 10 },
    { V4L2_PIX_FMT_MJPEG, 640, 480, 30 }, { V4L2_PIX_FMT_MJPEG, 320, 240, 30 },
    { V4L2_PIX_FMT_GREY, 320, 240, 10 }, { V4L2_PIX_FMT_NV12, 320, 240, 10 },
};
#define MODES_COUNT (sizeof MODES / sizeof MODES[0])
static const unsigned FORMATS[] = { V4L2_PIX_FMT_YUYV, V4L2_PIX_FMT_MJPEG, V4L2_PIX_FMT_GREY, V4L2_PIX_FMT_NV12 };
static const struct v4l2_queryctrl CONTROLS[] = {
    { .id = V4L2_CID_BRIGHTNESS, .type = V4L2_CTRL_TYPE_INTEGER, .name = "Brightness", .maximum = 255, .step = 1,
      .default_value = 128 },
    { .id = V4L2_CID_EXPOSURE_AUTO, .type = V4L2_CTRL_TYPE_MENU, .name = "Auto Exposure", .maximum = 3,
      .default_value = 3 },
    { .id = V4L2_CID_EXPOSURE_ABSOLUTE, .type = V4L2_CTRL_TYPE_INTEGER, .name = "Exposure Time, Absolute",
      .minimum = 3, .maximum = 2047, .step = 1, .default_value = 250 },
};

static int is(const char *word) {
    char fault[64] = "";
    int file = REAL(open)(getenv("CAMERA_FAULT"), O_RDONLY | O_CLOEXEC);
    ssize_t got = file < 0 ? 0 : REAL(read)(file, fault, sizeof fault - 1);
    if (file >= 0) REAL(close)(file);
    fault[got > 0 ? got : 0] = 0;
    return !strcmp(fault, word);
}

static void note(const char *text, unsigned a, unsigned b) {
    int log = REAL(open)(getenv("CAMERA_LOG"), O_WRONLY | O_APPEND | O_CREAT | O_CLOEXEC, 0600);
    dprintf(log, "%s %u %u\n", text, a, b);
    REAL(close)(log);
}

static int fail(int error) { errno = error; return -1; }

static void tick(unsigned hz) {
    struct itimerspec every = { { 0, hz ? 1000000000L / hz : 0 }, { 0, hz ? 1000000000L / hz : 0 } };
    timerfd_settime(camera, 0, &every, NULL);
}

static int open_camera(void) {
    if (is("eacces")) return fail(EACCES);
    if (is("enodev") || is("unplugged")) return fail(ENODEV);
    const char *picture = getenv("CAMERA_JPEG");
    int file = picture ? REAL(open)(picture, O_RDONLY | O_CLOEXEC) : -1;
    if (file >= 0) {
        ssize_t got = REAL(read)(file, jpeg, sizeof jpeg);
        jpeg_length = got > 0 ? got : 0;
        REAL(close)(file);
    }
    streaming = queue_length = pending = sequence = count = 0;
    return camera = timerfd_create(CLOCK_MONOTONIC, TFD_NONBLOCK | TFD_CLOEXEC);
}

static int is_camera(const char *path) {
    const char *file = getenv("CAMERA_FILE");
    return file && !strcmp(file, path) && !access(path, F_OK);
}

int open64(const char *path, int flags, ...) {
    va_list more;
    va_start(more, flags);
    int mode = va_arg(more, int);
    va_end(more);
    return is_camera(path) ? open_camera() : REAL(open64)(path, flags, mode);
}

int open(const char *path, int flags, ...) {
    va_list more;
    va_start(more, flags);
    int mode = va_arg(more, int);
    va_end(more);
    return is_camera(path) ? open_camera() : REAL(open)(path, flags, mode);
}

int close(int fd) {
    if (fd == camera && fd >= 0) {
        for (unsigned i = 0; i < BUFFERS; i++) memory[i] = NULL;
        camera = -1;
    }
    return REAL(close)(fd);
}

void *mmap64(void *at, size_t size, int access, int flags, int fd, off64_t offset) {
    if (fd != camera || fd < 0) return REAL(mmap64)(at, size, access, flags, fd, offset);
    unsigned index = offset >> 20;
    if (index >= count || size > length || !(flags & MAP_SHARED)) { errno = EINVAL; return MAP_FAILED; }
    return memory[index] = REAL(mmap64)(at, size, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
}

void *mmap(void *at, size_t size, int access, int flags, int fd, off_t offset) {
    return mmap64(at, size, access, flags, fd, offset);
}

/* White, in whatever format: the tests' model says how bright a frame is. */
static size_t paint(uint8_t *to) {
    size_t pixels = (size_t)width * height;
    switch (format) {
    case V4L2_PIX_FMT_MJPEG:
        memcpy(to, jpeg, jpeg_length);
        return jpeg_length;
    case V4L2_PIX_FMT_YUYV:
        for (size_t i = 0; i < 2 * pixels; i++) to[i] = i % 2 ? 128 : 235;
        return 2 * pixels;
    case V4L2_PIX_FMT_NV12:
        memset(to, 235, pixels);
        memset(to + pixels, 128, pixels / 2);
        return pixels + pixels / 2;
    default:
        memset(to, 255, pixels);
        return pixels;
    }
}

static int take(struct v4l2_buffer *buffer) {
    uint64_t ticks = 0;
    if (!streaming) return fail(EINVAL);
    if (is("eio")) return fail(EIO);
    if (is("silent")) tick(0);
    if (REAL(read)(camera, &ticks, sizeof ticks) == sizeof ticks) pending += ticks;
    if (is("silent") || !pending || !queue_length) return fail(EAGAIN);
    if (pending > queue_length) { sequence += pending - queue_length; pending = queue_length; }
    pending--;
    buffer->index = queued[0];
    memmove(queued, queued + 1, --queue_length * sizeof queued[0]);
    buffer->bytesused = paint(memory[buffer->index]);
    if (is("short")) buffer->bytesused /= 2;
    buffer->flags = V4L2_BUF_FLAG_TIMESTAMP_MONOTONIC | (is("damaged") ? V4L2_BUF_FLAG_ERROR : 0);
    struct timespec now;
    clock_gettime(CLOCK_MONOTONIC, &now);
    buffer->timestamp.tv_sec = now.tv_sec;
    buffer->timestamp.tv_usec = now.tv_nsec / 1000;
    buffer->sequence = sequence++;
    buffer->length = length;
    return 0;
}

static int query(struct v4l2_capability *about) {
    memset(about, 0, sizeof *about);
    strcpy((char *)about->driver, "standin");
    strcpy((char *)about->card, "Stand-in Camera");
    strcpy((char *)about->bus_info, "usb-standin-1");
    about->device_caps = V4L2_CAP_STREAMING | (is("planes") ? V4L2_CAP_VIDEO_CAPTURE_MPLANE
                                               : is("metadata") ? V4L2_CAP_META_CAPTURE : V4L2_CAP_VIDEO_CAPTURE);
    about->capabilities = about->device_caps | V4L2_CAP_DEVICE_CAPS;
    return 0;
}

static int list_format(struct v4l2_fmtdesc *one) {
    if (is("h264")) {
        if (one->index) return fail(EINVAL);
        one->pixelformat = V4L2_PIX_FMT_H264;
        return 0;
    }
    if (one->index >= sizeof FORMATS / sizeof FORMATS[0]) return fail(EINVAL);
    one->pixelformat = FORMATS[one->index];
    strcpy((char *)one->description, "a format");
    return 0;
}

static int list_size(struct v4l2_frmsizeenum *one) {
    unsigned index = one->index;
    for (unsigned i = 0; i < MODES_COUNT; i++) {
        if (MODES[i].format != one->pixel_format || index--) continue;
        one->type = V4L2_FRMSIZE_TYPE_DISCRETE;
        one->discrete.width = MODES[i].width;
        one->discrete.height = MODES[i].height;
        return 0;
    }
    return fail(EINVAL);
}

static int list_interval(struct v4l2_frmivalenum *one) {
    for (unsigned i = 0; i < MODES_COUNT && !one->index; i++) {
        if (MODES[i].format != one->pixel_format || MODES[i].width != one->width) continue;
        one->type = V4L2_FRMIVAL_TYPE_DISCRETE;
        one->discrete.numerator = 1;
        one->discrete.denominator = MODES[i].rate;
        return 0;
    }
    return fail(EINVAL);
}

static int set_format(struct v4l2_format *wanted) {
    struct v4l2_pix_format *pix = &wanted->fmt.pix;
    if (is("ebusy") || count) return fail(EBUSY);
    width = pix->width;
    height = pix->height;
    format = pix->pixelformat;
    unsigned packed = format == V4L2_PIX_FMT_YUYV ? 2 : 1;
    pix->bytesperline = format == V4L2_PIX_FMT_MJPEG ? 0 : width * packed;
    pix->sizeimage = length = (size_t)width * height * 2;
    pix->field = V4L2_FIELD_NONE;
    pix->colorspace = V4L2_COLORSPACE_SRGB;
    note("format", width, height);
    return 0;
}

static int query_control(struct v4l2_queryctrl *one) {
    unsigned next = one->id & V4L2_CTRL_FLAG_NEXT_CTRL, id = one->id & ~V4L2_CTRL_FLAG_NEXT_CTRL;
    for (unsigned i = 0; i < sizeof CONTROLS / sizeof CONTROLS[0]; i++) {
        if (next ? CONTROLS[i].id <= id : CONTROLS[i].id != id) continue;
        *one = CONTROLS[i];
        return 0;
    }
    return fail(EINVAL);
}

static int query_menu(struct v4l2_querymenu *one) {
    if (one->index == 1) strcpy((char *)one->name, "Manual Mode");
    else if (one->index == 3) strcpy((char *)one->name, "Aperture Priority Mode");
    else return fail(EINVAL);
    return 0;
}

int ioctl(int fd, unsigned long request, ...) {
    va_list more;
    va_start(more, request);
    void *argument = va_arg(more, void *);
    va_end(more);
    if (fd != camera || fd < 0) return REAL(ioctl)(fd, request, argument);
    if (is("unplugged")) return fail(ENODEV);
    struct v4l2_requestbuffers *wanted = argument;
    struct v4l2_buffer *buffer = argument;
    struct v4l2_streamparm *parameters = argument;
    struct v4l2_control *control = argument;
    switch ((unsigned)request) {
    case VIDIOC_QUERYCAP: return query(argument);
    case VIDIOC_ENUM_FMT: return list_format(argument);
    case VIDIOC_ENUM_FRAMESIZES: return list_size(argument);
    case VIDIOC_ENUM_FRAMEINTERVALS: return list_interval(argument);
    case VIDIOC_S_FMT: return set_format(argument);
    case VIDIOC_QUERYCTRL: return query_control(argument);
    case VIDIOC_QUERYMENU: return query_menu(argument);
    case VIDIOC_S_CTRL:
        note("control", control->id & 0xffff, control->value);
        return 0;
    case VIDIOC_S_PARM:
        rate = parameters->parm.capture.timeperframe.denominator / parameters->parm.capture.timeperframe.numerator;
        for (unsigned i = 0; i < MODES_COUNT; i++)
            if (MODES[i].format == format && MODES[i].width == width && rate > MODES[i].rate) rate = MODES[i].rate;
        parameters->parm.capture.timeperframe.numerator = 1;
        parameters->parm.capture.timeperframe.denominator = rate;
        return 0;
    case VIDIOC_REQBUFS:
        if (wanted->memory != V4L2_MEMORY_MMAP) return fail(EINVAL);
        count = wanted->count = wanted->count < BUFFERS ? wanted->count : BUFFERS;
        return 0;
    case VIDIOC_QUERYBUF:
        if (buffer->index >= count) return fail(EINVAL);
        buffer->length = length;
        buffer->m.offset = buffer->index << 20;
        return 0;
    case VIDIOC_QBUF:
        for (unsigned i = 0; i < queue_length; i++) if (queued[i] == buffer->index) return fail(EINVAL);
        queued[queue_length++] = buffer->index;
        return 0;
    case VIDIOC_DQBUF: return take(buffer);
    case VIDIOC_STREAMON:
        streaming = 1;
        tick(rate);
        note("start", rate, format);
        return 0;
    case VIDIOC_STREAMOFF:
        streaming = queue_length = pending = 0;
        tick(0);
        return 0;
    default: return fail(ENOTTY);
    }
}

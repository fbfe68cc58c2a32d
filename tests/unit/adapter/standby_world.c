/* See standby_world.h. */
#include "mlt_test.h"

#include "standby_world.h"

struct world world;

int64_t __wrap_mlt_clock_mono_ns(void);
enum mlt_status __wrap_mlt_timer_create(struct mlt_loop *loop, void (*fn)(void *ctx), void *ctx,
                                        struct mlt_timer **timer);
void __wrap_mlt_timer_destroy(struct mlt_timer *timer);
void __wrap_mlt_timer_start(struct mlt_timer *timer, int64_t delay_ns);
void __wrap_mlt_timer_stop(struct mlt_timer *timer);
enum mlt_status __wrap_mlt_loop_post(struct mlt_loop *loop, void (*fn)(void *ctx), void *ctx);
void __wrap_mlt_loop_unpost(struct mlt_loop *loop, void (*fn)(void *ctx), void *ctx);
uint64_t __wrap_mlt_service_boot(const struct mlt_service *service);
enum mlt_status __wrap_mlt_replicas_create(struct mlt_service *service,
                                           const struct mlt_replicas_options *options,
                                           const struct mlt_replicas_ports *ports,
                                           struct mlt_replicas **replicas, struct mlt_error *err);
enum mlt_status __wrap_mlt_replicas_start(struct mlt_replicas *replicas, struct mlt_error *err);
void __wrap_mlt_replicas_stop(struct mlt_replicas *replicas);
void __wrap_mlt_replicas_destroy(struct mlt_replicas *replicas);
void __wrap_mlt_replicas_changed(struct mlt_replicas *replicas);
void __wrap_mlt_replicas_drain(struct mlt_replicas *replicas);
bool __wrap_mlt_replicas_in_touch(const struct mlt_replicas *replicas);
int64_t __wrap_mlt_replicas_self_heard_ns(const struct mlt_replicas *replicas);
uint64_t __wrap_mlt_replicas_home(const struct mlt_replicas *replicas);
enum mlt_status __wrap_mlt_replicas_claim(struct mlt_service *service,
                                          const struct mlt_claims_options *options,
                                          struct mlt_store **store, uint64_t epochs[MLT_SLOT_COUNT],
                                          struct mlt_claims **claims, struct mlt_error *err);
void __wrap_mlt_claims_destroy(struct mlt_claims *claims);
void __wrap_mlt_store_destroy(struct mlt_store *store);
void __wrap_mlt_hop_sender_hold(struct mlt_hop_sender *sender, uint32_t partition);
int64_t __wrap_mlt_hop_sender_held_since(struct mlt_hop_sender *sender, uint32_t partition);
enum mlt_status __wrap_mlt_hop_sender_speak(struct mlt_hop_sender *sender, uint32_t partition,
                                            uint64_t epoch, int64_t from_ns, bool covered);
int64_t __wrap_mlt_hop_sender_unacked_since(struct mlt_hop_sender *sender, uint32_t partition);
void __wrap_mlt_adapter_status_publish(void *ctx);
void __wrap_mlt_adapter_lines_turn(void *ctx);
void __wrap_mlt_adapter_rest_turn(void *ctx);
void __wrap_mlt_adapter_listing_announce(struct mlt_adapter *its);
void __wrap_mlt_adapter_pause_lines(struct mlt_adapter *its, bool paused);
void __wrap_mlt_adapter_end_lines(struct mlt_adapter *its);

int64_t __wrap_mlt_clock_mono_ns(void)
{
    return world.now_ns;
}

enum mlt_status __wrap_mlt_timer_create(struct mlt_loop *loop, void (*fn)(void *ctx), void *ctx,
                                        struct mlt_timer **timer)
{
    (void)loop;
    assert_true(world.timer_count < TIMERS_MAX);
    struct fake_timer *made = &world.timers[world.timer_count++];
    *made = (struct fake_timer){ .fn = fn, .ctx = ctx };
    *timer = (struct mlt_timer *)made;
    return MLT_OK;
}

void __wrap_mlt_timer_destroy(struct mlt_timer *timer)
{
    __wrap_mlt_timer_stop(timer);
}

void __wrap_mlt_timer_start(struct mlt_timer *timer, int64_t delay_ns)
{
    ((struct fake_timer *)timer)->at_ns = world.now_ns + delay_ns;
}

void __wrap_mlt_timer_stop(struct mlt_timer *timer)
{
    ((struct fake_timer *)timer)->at_ns = 0;
}

enum mlt_status __wrap_mlt_loop_post(struct mlt_loop *loop, void (*fn)(void *ctx), void *ctx)
{
    (void)loop;
    if (world.full) {
        return MLT_E_FULL;
    }
    assert_true(world.posted_count < POSTED_MAX);
    world.posted[world.posted_count].fn = fn;
    world.posted[world.posted_count++].ctx = ctx;
    return MLT_OK;
}

void __wrap_mlt_loop_unpost(struct mlt_loop *loop, void (*fn)(void *ctx), void *ctx)
{
    (void)loop;
    (void)fn;
    (void)ctx;
    world.posted_count = 0;
}

uint64_t __wrap_mlt_service_boot(const struct mlt_service *service)
{
    (void)service;
    return BOOT;
}

enum mlt_status __wrap_mlt_replicas_create(struct mlt_service *service,
                                           const struct mlt_replicas_options *options,
                                           const struct mlt_replicas_ports *ports,
                                           struct mlt_replicas **replicas, struct mlt_error *err)
{
    (void)service;
    (void)err;
    assert_string_equal(options->name, "adapter");
    world.ports = *ports;
    *replicas = (struct mlt_replicas *)&world; /* never looked into */
    return MLT_OK;
}

enum mlt_status __wrap_mlt_replicas_start(struct mlt_replicas *replicas, struct mlt_error *err)
{
    (void)replicas;
    (void)err;
    return MLT_OK;
}

void __wrap_mlt_replicas_stop(struct mlt_replicas *replicas)
{
    (void)replicas;
}

void __wrap_mlt_replicas_destroy(struct mlt_replicas *replicas)
{
    (void)replicas;
}

struct mlt_owners_beat world_owned(void)
{
    struct mlt_owners_beat beat = { .boot = BOOT, .replicas = 2, .sent_ns = world.now_ns };
    world.ports.owned(world.ports.ctx, &beat);
    return beat;
}

void __wrap_mlt_replicas_changed(struct mlt_replicas *replicas)
{
    (void)replicas;
    assert_true(world.beat_count < 64);
    world.beats[world.beat_count++] = world_owned();
}

void __wrap_mlt_replicas_drain(struct mlt_replicas *replicas)
{
    (void)replicas;
    world.drained = true;
}

bool __wrap_mlt_replicas_in_touch(const struct mlt_replicas *replicas)
{
    (void)replicas;
    return world.in_touch;
}

uint64_t __wrap_mlt_replicas_home(const struct mlt_replicas *replicas)
{
    (void)replicas;
    return world.home;
}

int64_t __wrap_mlt_replicas_self_heard_ns(const struct mlt_replicas *replicas)
{
    (void)replicas;
    return world.self_heard_ns;
}

enum mlt_status __wrap_mlt_replicas_claim(struct mlt_service *service,
                                          const struct mlt_claims_options *options,
                                          struct mlt_store **store, uint64_t epochs[MLT_SLOT_COUNT],
                                          struct mlt_claims **claims, struct mlt_error *err)
{
    (void)service;
    (void)store;
    if (world.no_claims) {
        return mlt_error_set(err, MLT_E_UNAVAILABLE, "no JetStream here");
    }
    for (uint32_t p = 0; p < MLT_SLOT_COUNT; p++) {
        epochs[p] = (options->slots >> p & 1) != 0 ? world.next_epoch++ : 0;
    }
    world.on_outbid = options->on_outbid;
    world.wanted = options->wanted;
    world.claims_ctx = options->ctx;
    world.claims_made++;
    *claims = (struct mlt_claims *)&world;
    return MLT_OK;
}

void __wrap_mlt_claims_destroy(struct mlt_claims *claims)
{
    world.claims_ended += claims != NULL ? 1 : 0;
}

void __wrap_mlt_store_destroy(struct mlt_store *store)
{
    (void)store;
}

void __wrap_mlt_hop_sender_hold(struct mlt_hop_sender *sender, uint32_t partition)
{
    (void)sender;
    world.holds++;
    world.held[partition] = true;
    world.held_since_ns[partition] = world.now_ns;
}

int64_t __wrap_mlt_hop_sender_held_since(struct mlt_hop_sender *sender, uint32_t partition)
{
    (void)sender;
    return world.held[partition] ? world.held_since_ns[partition] : INT64_MAX;
}

enum mlt_status __wrap_mlt_hop_sender_speak(struct mlt_hop_sender *sender, uint32_t partition,
                                            uint64_t epoch, int64_t from_ns, bool covered)
{
    (void)sender;
    if (!world.held[partition] || epoch == 0) {
        return MLT_E_INVALID;
    }
    assert_true(world.spoken_count < 16);
    world.spoken[world.spoken_count].partition = partition;
    world.spoken[world.spoken_count].epoch = epoch;
    world.spoken[world.spoken_count].from_ns = from_ns;
    world.spoken[world.spoken_count++].covered = covered;
    world.held[partition] = false;
    return MLT_OK;
}

int64_t __wrap_mlt_hop_sender_unacked_since(struct mlt_hop_sender *sender, uint32_t partition)
{
    (void)sender;
    return world.held[partition] ? INT64_MAX : world.unacked_since_ns[partition];
}

void __wrap_mlt_adapter_status_publish(void *ctx)
{
    (void)ctx;
}

void __wrap_mlt_adapter_lines_turn(void *ctx)
{
    (void)ctx;
}

void __wrap_mlt_adapter_rest_turn(void *ctx)
{
    (void)ctx;
}

void __wrap_mlt_adapter_listing_announce(struct mlt_adapter *its)
{
    (void)its;
    world.announced++;
}

void __wrap_mlt_adapter_pause_lines(struct mlt_adapter *its, bool paused)
{
    (void)its;
    world.paused = paused;
}

void __wrap_mlt_adapter_end_lines(struct mlt_adapter *its)
{
    assert_false(world.paused); /* or they would not close */
    world.lines_ended = true;
    world.speaks_at_end = its->speaks;
}

import { openLog, temporaryFolder, accessLine } from '/work/main/packages/edge/test/edge-rig.ts'
import { asRecords, lineNow, query, storeFolder } from '/work/main/packages/edge/test/store-rig.ts'
import { LogStore, readRow } from '@forebay/edge/store'
import { clock, random, silent } from '/work/main/packages/edge/test/edge-rig.ts'
import { EDGE_TOPIC } from '@forebay/edge'
using folder = temporaryFolder()
const broker = await openLog(folder.path)
const store = await LogStore.start({ options:{dir:storeFolder(folder.path), retentionMs:1e12, bytesMax:1e12, writeEveryMs:50}, broker, clock, random, log:{info(){}, warn(d,t){console.log(t,d)}}, topics:new Map([[EDGE_TOPIC, readRow]]), meters:{written(r,p,t){console.log('written',r,p,Math.round(t))}} })
await broker.publish(asRecords([lineNow()]))
await new Promise(r=>setTimeout(r,1000))
await broker.publish(asRecords([lineNow()],'b'))
await new Promise(r=>setTimeout(r,1000))
const lines=Array.from({length:20000},()=>lineNow())
const t=performance.now()
for (let i=0;i<20;i++) await broker.publish(asRecords(lines.slice(i*1000,i*1000+1000),'c'+i))
console.log('published',performance.now()-t)
await new Promise(r=>setTimeout(r,3000))
for (let i=0;i<3;i++){ const q=performance.now(); console.log(await query(folder.path,'select count(*) from access'), performance.now()-q) }
await store.stop(); await broker.close()
const c=process.cpuUsage(); console.log('cpu ms parent', c.user/1000, c.system/1000)
const r=process.resourceUsage(); console.log(r.maxRSS)
